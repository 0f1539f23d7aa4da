"""Chooses the ports of one stack: a block for each workspace, so that two stacks on one machine never share a port.

The path of the workspace decides which block is tried first. The next block is tried when something listens there.
run/ports.json keeps the choice until `release`. GLOSSA_PORTS_BASE names the first port to try. Must not know what
listens on the ports.
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
FIRST, LAST = 18_000, 31_000  # below the ports that kernels give to outgoing connections
TRIES = 50
ANSWER_S = 1.0
# Offsets in the block. Those from 10 on belong to Ray.
OFFSETS = {"emulator": 0, "serve": 1, "ray": 10}


@dataclass(frozen=True)
class Ports:
    """One block of ports on 127.0.0.1, `base` to `base + 39`."""

    base: int

    @property
    def emulator(self) -> int:
        """The port of the emulator: every AWS service, and our REST API."""
        return self.base + OFFSETS["emulator"]

    @property
    def serve(self) -> int:
        """The port of Ray Serve's HTTP."""
        return self.base + OFFSETS["serve"]

    def ray(self, n: int) -> int:
        """Return the nth of Ray's 30 ports (head, dashboard, agents, workers). Raises ValueError for any other n."""
        if not 0 <= n < BLOCK - OFFSETS["ray"]:
            raise ValueError(f"got port number {n} of Ray, expected 0 to {BLOCK - OFFSETS['ray'] - 1}")
        return self.base + OFFSETS["ray"] + n


def ports(workspace: Workspace) -> Ports:
    """Return the block of this workspace.

    A block is chosen and noted when there is none yet. A new one is chosen also when the stack does not run and another
    program has taken a port of the old one. Raises OSError when all blocks are taken.
    """
    noted = read_json(workspace.run / "ports.json")
    if noted is not None and (_runs(workspace) or is_free(noted["emulator"])):
        return Ports(int(noted["base"]))
    chosen = free_block(workspace)
    write_json(
        workspace.run / "ports.json",
        {"base": chosen.base, "emulator": chosen.emulator, "serve": chosen.serve, "ray": chosen.ray(0)},
    )
    return chosen


def free_block(workspace: Workspace) -> Ports:
    """Return the block that a stack of this workspace would get now. Raises OSError when all blocks are taken."""
    return Ports(_choose(str(workspace.home)))


def release(workspace: Workspace) -> None:
    """Forget the block. To be called when nothing of the stack runs."""
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
    """Return whether nothing listens on this port of 127.0.0.1.

    A closed connection blocks its port for a minute (TIME_WAIT), though a server may listen there again. So a port that
    cannot be bound is free all the same when nothing answers on it.
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
