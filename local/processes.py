"""Background processes of one stack: a pid file and a log each; ends only what it started.

A pid alone can be another's by now, so the file also holds the start time the kernel gives.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from local.workspace import Workspace, read_json, write_json

STOP_S = 20.0


def start(workspace: Workspace, name: str, command: Sequence[str | Path], env: Mapping[str, str], cwd: Path) -> int:
    """Start a process in its own session, its output in log/{name}.log; return its pid."""
    with (workspace.log / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            [str(word) for word in command], env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    write_json(workspace.run / f"{name}.pid", {"pid": process.pid, "started": _started(process.pid)})
    return process.pid


def alive(workspace: Workspace, name: str) -> int | None:
    """Return the pid of a process we started and that still runs, else None."""
    noted = read_json(workspace.run / f"{name}.pid")
    if noted is None:
        return None
    pid = int(noted["pid"])
    _reap(pid)
    return pid if noted["started"] is not None and _started(pid) == noted["started"] else None


def stop(workspace: Workspace, name: str) -> bool:
    """End a process we started: SIGTERM, and SIGKILL to its group after 20 s. Return whether there was one."""
    pid = alive(workspace, name)
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        if not _gone(workspace, name, STOP_S):
            os.killpg(pid, signal.SIGKILL)
            _gone(workspace, name, 2.0)
    (workspace.run / f"{name}.pid").unlink(missing_ok=True)
    return pid is not None


def tail(workspace: Workspace, name: str, n_lines: int = 15) -> str:
    """Return the last lines of a process's log."""
    path = workspace.log / f"{name}.log"
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    return "\n".join(text.splitlines()[-n_lines:])


def listeners(pid: int) -> set[tuple[str, int]]:
    """Return (address in hex, port) of every TCP socket this process listens on. Linux only: reads /proc."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.add(str(descriptor.readlink()).removeprefix("socket:[").removesuffix("]"))
        except FileNotFoundError:
            continue
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:  # 0A is LISTEN
                address, port = fields[1].split(":")
                found.add((address, int(port, 16)))
    return found


def _gone(workspace: Workspace, name: str, within_s: float) -> bool:
    ends_at = time.monotonic() + within_s
    while time.monotonic() < ends_at:
        if alive(workspace, name) is None:
            return True
        time.sleep(0.05)
    return False


def _started(pid: int) -> str | None:
    """Return the kernel's start time of a running process, None when there is none (or it is a zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self/stat").exists():
            return None
        shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return shown.stdout.strip() or None
    return None if fields[0] == "Z" else fields[19]


def _reap(pid: int) -> None:
    """Collect an ended child of this very process; another's child is not ours to collect."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
