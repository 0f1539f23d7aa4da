"""The trace of a request: which files it notes, and what it prints of them."""

from __future__ import annotations

import runpy
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.trace_request import FileTrace, lines


def _function(path: Path) -> Callable[[], Any]:
    """Write a module with one function and return the function."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("def work():\n    return 1\n")
    work: Callable[[], Any] = runpy.run_path(str(path))["work"]
    return work


def test_files_are_noted_once_in_the_order_of_their_first_call(tmp_path: Path) -> None:
    """Files outside the chosen folders are left out."""
    first, second = _function(tmp_path / "serve" / "first.py"), _function(tmp_path / "serve" / "second.py")
    other = _function(tmp_path / "local" / "other.py")
    trace = FileTrace(tmp_path, ["serve"])
    with trace.record():
        for work in (second, other, first, second):
            work()
    assert list(trace.first_calls.items()) == [("serve/second.py", "work"), ("serve/first.py", "work")]


def test_calls_of_watched_threads_count(tmp_path: Path) -> None:
    """A thread that started before the recording is seen too."""
    work, may_work = _function(tmp_path / "serve" / "first.py"), threading.Event()
    trace = FileTrace(tmp_path, ["serve"])
    trace.watch_new_threads()
    thread = threading.Thread(target=lambda: may_work.wait(10) and work())
    thread.start()
    with trace.record():
        may_work.set()
        thread.join(10)
    assert list(trace.first_calls) == ["serve/first.py"]


def test_nothing_counts_outside_the_recording(tmp_path: Path) -> None:
    """Neither a call before the recording nor an import within it counts."""
    path = tmp_path / "serve" / "first.py"
    trace = FileTrace(tmp_path, ["serve"])
    _function(path)()
    with trace.record():
        _function(path)
    assert not trace.first_calls


def test_shared_files_are_counted_apart() -> None:
    """Only files of functions and serve have a number."""
    printed = list(lines({"functions/a.py": "f", "shared/b.py": "g", "serve/c.py": "h"}))
    assert [line.split()[0] for line in printed[:3]] == ["1", "shared/b.py", "2"]
    assert printed[3] == "2 files of functions and serve, 1 of shared"
