"""Ports of one stack: a block per home, so that two checkouts, or a test beside `make run`, never meet.

The block follows from the home's path and moves on when something else listens there. It is written to
run/ports.json and kept until `release`. GLOSSA_PORTS_BASE names the first port to try.
"""

from __future__ import annotations

import errno
import os
import socket
import zlib
from dataclasses import dataclass

from local import processes
from local.workspace import Workspace, read_json, write_json

BLOCK = 40
FIRST, LAST = 18_000, 31_000  # below the ephemeral range of the usual kernels
TRIES = 50
ANSWER_S = 1.0
# Offsets in the block; 10 and up belong to Ray.
OFFSETS = {"emulator": 0, "serve": 1, "ray": 10}


@dataclass(frozen=True)
class Ports:
    """One block of ports on 127.0.0.1, `base` to `base + 39`."""

    base: int

    @property
    def emulator(self) -> int:
        """Every AWS API, and the REST API."""
        return self.base + OFFSETS["emulator"]

    @property
    def serve(self) -> int:
        """Ray Serve's HTTP."""
        return self.base + OFFSETS["serve"]

    def ray(self, n: int) -> int:
        """Return the nth of Ray's own 30 ports (head, dashboard, agents, workers). Raises ValueError past them."""
        if not 0 <= n < BLOCK - OFFSETS["ray"]:
            raise ValueError(f"got port number {n} of Ray, expected 0 to {BLOCK - OFFSETS['ray'] - 1}")
        return self.base + OFFSETS["ray"] + n


def ports(workspace: Workspace) -> Ports:
    """Return the block of this place, choosing and noting one when it has none, or when it stopped and lost it since.

    Raises OSError when all are taken.
    """
    noted = read_json(workspace.run / "ports.json")
    if noted is not None and (_runs(workspace) or is_free(noted["emulator"])):
        return Ports(int(noted["base"]))
    chosen = Ports(_choose(str(workspace.home)))
    write_json(
        workspace.run / "ports.json",
        {"base": chosen.base, "emulator": chosen.emulator, "serve": chosen.serve, "ray": chosen.ray(0)},
    )
    return chosen


def release(workspace: Workspace) -> None:
    """Forget the block; called when nothing of the stack runs."""
    (workspace.run / "ports.json").unlink(missing_ok=True)


def _runs(workspace: Workspace) -> bool:
    return any(processes.alive(workspace, path.stem) is not None for path in workspace.run.glob("*.pid"))


def _choose(key: str) -> int:
    n_blocks = (LAST - FIRST) // BLOCK
    first = FIRST + zlib.crc32(key.encode()) % n_blocks * BLOCK
    if named := os.environ.get("GLOSSA_PORTS_BASE"):
        first = int(named)
    for step in range(TRIES):
        base = first + step * BLOCK
        if base + BLOCK > LAST and not named:
            base -= n_blocks * BLOCK
        if all(is_free(port) for port in range(base, base + BLOCK)):
            return base
    raise OSError(f"no {BLOCK} free ports in a row after {TRIES} tries from {first} on; set GLOSSA_PORTS_BASE")


def is_free(port: int) -> bool:
    """Say whether nothing listens on this port of the loopback address.

    Connections that ended keep a port from being bound for a minute (TIME_WAIT), though what they were of may have it
    again: where it cannot be bound, whether somebody answers decides.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return not _answers(port)
    return True


def _answers(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as caller:
        caller.settimeout(ANSWER_S)
        return caller.connect_ex(("127.0.0.1", port)) != errno.ECONNREFUSED
