"""Background processes: found again by pid and start time, ended alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from local import processes
from local.workspace import Place, read_json, write_json

SLEEP = [sys.executable, "-c", "import time; print('here', flush=True); time.sleep(60)"]


def started(place: Place) -> int:
    """Start a process that sleeps for a minute."""
    return processes.start(place, "sleeper", SLEEP, os.environ, cwd=place.home)


def test_a_process_is_found_again_and_ended(tmp_path: Path) -> None:
    """What one command started, another finds by its pid file and ends."""
    place = Place(tmp_path, tmp_path)
    pid = started(place)
    assert processes.alive(place, "sleeper") == pid
    assert processes.stop(place, "sleeper")
    assert processes.alive(place, "sleeper") is None
    assert not processes.stop(place, "sleeper")


def test_a_pid_that_is_another_process_now_is_left_alone(tmp_path: Path) -> None:
    """A stale pid file naming a living stranger ends nothing."""
    place = Place(tmp_path, tmp_path)
    stranger = subprocess.Popen(SLEEP, stdout=subprocess.DEVNULL)
    try:
        write_json(place.run / "sleeper.pid", {"pid": stranger.pid, "started": "1"})
        assert processes.alive(place, "sleeper") is None
        assert not processes.stop(place, "sleeper")
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_output_goes_to_the_log(tmp_path: Path) -> None:
    """The end of a process's log is at hand when it fails."""
    place = Place(tmp_path, tmp_path)
    processes.start(place, "talker", [sys.executable, "-c", "print('one\\ntwo')"], os.environ, cwd=tmp_path)
    os.waitpid(int(read_json(place.run / "talker.pid")["pid"]), 0)
    assert processes.tail(place, "talker", 1) == "two"


def test_a_half_written_file_reads_as_none(tmp_path: Path) -> None:
    """A cut pid file is no process."""
    place = Place(tmp_path, tmp_path)
    (place.run / "sleeper.pid").write_text('{"pid": 1')
    assert processes.alive(place, "sleeper") is None
