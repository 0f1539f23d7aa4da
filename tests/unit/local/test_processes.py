"""Background processes are found again by pid and start time, and only they are ended."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from local import processes
from local.workspace import Workspace, read_json, write_json

SLEEP = [sys.executable, "-c", "import time; print('here', flush=True); time.sleep(60)"]


def started(workspace: Workspace) -> int:
    """Start a process that sleeps for a minute."""
    return processes.start(workspace, "sleeper", SLEEP, os.environ, cwd=workspace.home)


def test_a_process_is_found_again_and_ended(tmp_path: Path) -> None:
    """A second command finds what a first one started by its pid file, and ends it."""
    workspace = Workspace(tmp_path, tmp_path)
    pid = started(workspace)
    assert processes.alive(workspace, "sleeper") == pid
    assert processes.stop(workspace, "sleeper")
    assert processes.alive(workspace, "sleeper") is None
    assert not processes.stop(workspace, "sleeper")


def test_a_pid_that_is_another_process_now_is_left_alone(tmp_path: Path) -> None:
    """A pid file whose pid now belongs to another program ends nothing."""
    workspace = Workspace(tmp_path, tmp_path)
    stranger = subprocess.Popen(SLEEP, stdout=subprocess.DEVNULL)
    try:
        write_json(workspace.run / "sleeper.pid", {"pid": stranger.pid, "started": "1"})
        assert processes.alive(workspace, "sleeper") is None
        assert not processes.stop(workspace, "sleeper")
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_output_goes_to_the_log(tmp_path: Path) -> None:
    """The last lines of a process's log can be read after it has ended."""
    workspace = Workspace(tmp_path, tmp_path)
    processes.start(workspace, "talker", [sys.executable, "-c", "print('one\\ntwo')"], os.environ, cwd=tmp_path)
    os.waitpid(int(read_json(workspace.run / "talker.pid")["pid"]), 0)
    assert processes.tail(workspace, "talker", 1) == "two"


def test_a_half_written_file_reads_as_none(tmp_path: Path) -> None:
    """An incomplete pid file names no process."""
    workspace = Workspace(tmp_path, tmp_path)
    (workspace.run / "sleeper.pid").write_text('{"pid": 1')
    assert processes.alive(workspace, "sleeper") is None


def test_listeners_are_the_addresses_a_process_listens_on() -> None:
    """An address is named as people write it; a socket that only connects is left out."""
    before = processes.listeners(os.getpid())
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            found = processes.listeners(os.getpid()) - before
    assert found == {("127.0.0.1", port)}


def test_listeners_of_an_ended_process_are_refused() -> None:
    """An ended process is told apart from one that listens on nothing."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    with pytest.raises(ProcessLookupError, match=f"got pid {ended.pid}, expected a running process"):
        processes.listeners(ended.pid)
