"""Each workspace has a block of ports that no other program uses, and keeps it until it is released."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from local import processes
from local.ports import BLOCK, FIRST, LAST, Ports, is_free, ports, release
from local.workspace import Workspace


def workspace(home: Path) -> Workspace:
    """Make a workspace whose checkout does not matter."""
    return Workspace(home, home)


def test_a_workspace_keeps_its_block(tmp_path: Path) -> None:
    """A second process gets the same ports, so that it finds the stack of the first."""
    assert ports(workspace(tmp_path)) == ports(workspace(tmp_path))


def test_a_block_follows_from_the_home(tmp_path: Path) -> None:
    """After a release the same workspace gets the same block again, so that addresses stay the same between runs."""
    first = ports(workspace(tmp_path))
    release(workspace(tmp_path))
    assert not (tmp_path / "run" / "ports.json").exists()
    assert ports(workspace(tmp_path)) == first


def test_a_taken_port_moves_the_block(tmp_path: Path) -> None:
    """When another program has one port of a block, another block is chosen."""
    first = ports(workspace(tmp_path))
    release(workspace(tmp_path))
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", first.ray(3)))
        stranger.listen()
        assert not is_free(first.ray(3))
        moved = ports(workspace(tmp_path))
    assert abs(moved.base - first.base) >= BLOCK


def test_connections_that_ended_take_no_port() -> None:
    """A port whose server has just ended is free, though its closed connections block a bind for a minute."""
    with socket.socket() as server, socket.socket() as caller:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        caller.connect(("127.0.0.1", port))
        server.accept()[0].close()  # the side that closes first keeps the port in TIME_WAIT
        assert caller.recv(1) == b""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
    assert is_free(port)


def test_a_block_lost_while_stopped_is_chosen_anew(tmp_path: Path) -> None:
    """When another program has taken the port of a stack that does not run, the next start takes another block."""
    first = ports(workspace(tmp_path))
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", first.emulator))
        stranger.listen()
        assert ports(workspace(tmp_path)) != first


def test_a_running_stack_keeps_its_block(tmp_path: Path) -> None:
    """While a process of the stack runs, its own listening port counts as its own."""
    first = ports(workspace(tmp_path))
    processes.start(
        workspace(tmp_path), "emulator", [sys.executable, "-c", "import time; time.sleep(60)"], {}, tmp_path
    )
    try:
        with socket.socket() as own:
            own.bind(("127.0.0.1", first.emulator))
            own.listen()
            assert ports(workspace(tmp_path)) == first
    finally:
        processes.stop(workspace(tmp_path), "emulator")


def test_a_first_port_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search begins at GLOSSA_PORTS_BASE; a second stack with the same base gets the next block."""
    monkeypatch.setenv("GLOSSA_PORTS_BASE", "15000")
    named = ports(workspace(tmp_path / "one"))
    assert named == Ports(15_000)
    with socket.socket() as running:
        running.bind(("127.0.0.1", named.emulator))
        running.listen()
        assert ports(workspace(tmp_path / "two")) == Ports(15_000 + BLOCK)


def test_ports_of_a_block_differ_and_stay_inside() -> None:
    """The ports of the emulator, of Serve and of Ray are all different and lie within the block."""
    block = Ports(FIRST)
    numbers = [block.emulator, block.serve, *(block.ray(n) for n in range(30))]
    assert len(set(numbers)) == 32
    assert all(FIRST <= number < FIRST + BLOCK <= LAST for number in numbers)
    with pytest.raises(ValueError, match="got port number 30 of Ray, expected 0 to 29"):
        block.ray(30)
