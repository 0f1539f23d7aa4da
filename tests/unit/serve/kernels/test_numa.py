"""A replica stays on one NUMA node of a machine that has several, and no two take the same place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from serve.kernels.numa import keep_on, nodes_of, pin, places

EIGHT = range(8)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Make a machine with two nodes of four cores, and a third node that has memory alone."""
    for number, cores in enumerate(("0-1,4-5", "2-3,6-7", "")):
        (tmp_path / "node" / f"node{number}").mkdir(parents=True)
        (tmp_path / "node" / f"node{number}" / "cpulist").write_text(cores + "\n")
    return tmp_path / "node"


def test_nodes_have_the_cores_that_the_process_may_use(tree: Path) -> None:
    """A container may have less than the machine."""
    assert nodes_of(tree, EIGHT) == [{0, 1, 4, 5}, {2, 3, 6, 7}]
    assert nodes_of(tree, (0, 1, 2)) == [{0, 1}, {2}]
    assert nodes_of(tree / "absent", EIGHT) == []


def test_every_node_gets_a_replica_before_one_gets_two(tree: Path) -> None:
    """The threads of all replicas of a node fit on its cores."""
    nodes = nodes_of(tree, EIGHT)
    assert list(places(nodes, 2)) == [(0, 0), (1, 0), (0, 1), (1, 1)]
    assert list(places(nodes, 3)) == [(0, 0), (1, 0)]
    assert list(places(nodes, 5)) == []


def test_replicas_divide_the_nodes(tree: Path, tmp_path: Path) -> None:
    """The third one finds no place; it runs on all cores."""
    pinned: list[frozenset[int]] = []
    found = [pin(4, tree=tree, folder=tmp_path / "locks", allowed=EIGHT, set_cores=pinned.append) for _ in range(3)]
    assert found == [{0, 1, 4, 5}, {2, 3, 6, 7}, frozenset()]
    assert pinned == found[:2]


def test_one_node_is_left_alone(tree: Path, tmp_path: Path) -> None:
    """The system schedules threads better than we do where all memory is equally near."""
    pinned: list[frozenset[int]] = []
    assert not pin(1, tree=tree, folder=tmp_path / "locks", allowed=(0, 1), set_cores=pinned.append)
    assert not pin(5, tree=tree, folder=tmp_path / "locks", allowed=EIGHT, set_cores=pinned.append)
    assert not (tmp_path / "locks").exists()
    assert pinned == []


def test_a_folder_of_another_is_not_used(tree: Path, tmp_path: Path) -> None:
    """A link may lead anywhere."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert not pin(4, tree=tree, folder=tmp_path / "link", allowed=EIGHT, set_cores=lambda _: None)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="only Linux lets a process choose its cores")
def test_all_threads_are_kept() -> None:
    """Keeping the cores that the process has changes nothing, and works on every thread."""
    before = os.sched_getaffinity(0)
    keep_on(frozenset(before))
    assert os.sched_getaffinity(0) == before
