"""Finds the processes of a running stack by what they do, and sends them signals.

Only processes below those that the stack has started, or that carry its token, are ever found. Must not know when or
why one is killed.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Literal

import psutil

from local import emulator, model_server, processes
from local.ray_workspace import TOKEN_PATH
from local.workspace import Workspace

Part = Literal["replica", "proxy", "controller", "handler", "ray", "functions", "emulator"]
TITLES: Mapping[str, re.Pattern[str]] = {  # what Ray calls its processes
    "replica": re.compile(r"^ray::.*ServeReplica:mini\b"),
    "proxy": re.compile(r"haproxy|^ray::.*(ProxyActor|HAProxyManager)"),
    "controller": re.compile(r"^ray::.*ServeController"),
}
FUNCTION = "AWS_LAMBDA_FUNCTION_NAME"
INFER = re.compile(r"infer", re.IGNORECASE)
GONE = (psutil.NoSuchProcess, psutil.AccessDenied)


def find(workspace: Workspace, part: str) -> list[psutil.Process]:
    """Return the running processes of a part, the oldest first. Raises ValueError for a part that is none."""
    if part in {"functions", "handler"}:
        return sorted(_functions(workspace, only_infer=part == "handler"), key=_age)
    if part == "emulator":
        pid = processes.alive(workspace, emulator.NAME)
        return [psutil.Process(pid)] if pid is not None else []
    if part == "ray":
        return sorted(_ray(workspace), key=_age)
    if part not in TITLES:
        raise ValueError(f"got part {part!r}, expected one of ray, functions, handler, emulator, {', '.join(TITLES)}")
    return sorted((each for each in _ray(workspace) if TITLES[part].search(_title(each))), key=_age)


def send(found: Iterator[psutil.Process] | list[psutil.Process], number: signal.Signals) -> int:
    """Send a signal to processes; return how many of them there still were."""
    n_sent = 0
    for each in found:
        with suppress(*GONE):
            each.send_signal(number)
            n_sent += 1
    return n_sent


def _ray(workspace: Workspace) -> Iterator[psutil.Process]:
    """Yield Ray's server and everything that it started, also what has lost its parent."""
    token = str(workspace.run / "ray-token")
    pid = processes.alive(workspace, model_server.NAME)
    seen = set()
    if pid is not None:
        with suppress(*GONE):
            server = psutil.Process(pid)
            for each in (server, *server.children(recursive=True)):
                seen.add(each.pid)
                yield each
    for each in psutil.process_iter(["environ"]):
        if each.pid not in seen and (each.info["environ"] or {}).get(TOKEN_PATH) == token:
            yield each


def _functions(workspace: Workspace, *, only_infer: bool) -> Iterator[psutil.Process]:
    pid = processes.alive(workspace, emulator.NAME)
    if pid is None:
        return
    with suppress(*GONE):
        for each in psutil.Process(pid).children(recursive=True):
            with suppress(*GONE):
                name = each.environ().get(FUNCTION, "")
                if name and (not only_infer or INFER.search(name)):
                    yield each


def _title(process: psutil.Process) -> str:
    with suppress(*GONE):
        return " ".join(process.cmdline()) or process.name()
    return ""


def _age(process: psutil.Process) -> float:
    with suppress(*GONE):
        return float(process.create_time())
    return 0.0
