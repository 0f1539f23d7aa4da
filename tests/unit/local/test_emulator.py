"""What the start of the emulator checks before it starts anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from local import emulator
from local.ports import ports
from local.workspace import Workspace, write_json


def test_state_of_another_port_is_refused(tmp_path: Path) -> None:
    """The stored functions know their queues by the old address, so their jobs would wait for ever."""
    workspace = Workspace(tmp_path, tmp_path)
    write_json(workspace.state / "port.json", {"emulator": 17_000})
    with pytest.raises(RuntimeError, match=rf"got port {ports(workspace).emulator} for the emulator, expected 17000"):
        emulator.start(workspace)


def test_the_processes_of_a_function_are_bounded() -> None:
    """A setting says how many there may be, and what is no such number is refused before the start."""
    assert emulator.max_workers({}) == emulator.MAX_WORKERS
    assert emulator.max_workers({"GLOSSA_LOCAL_WORKERS": "3"}) == 3
    for wrong in ("0", "-1", "many", ""):
        with pytest.raises(RuntimeError, match="expected a whole number from 1"):
            emulator.max_workers({"GLOSSA_LOCAL_WORKERS": wrong})
