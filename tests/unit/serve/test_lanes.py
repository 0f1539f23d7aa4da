"""Lanes: every row in one part, parts of near equal size, the caller's threads left as they were."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from serve.lanes import MAX_LEAN, MIN_LANE_TOKENS, Lanes, share
from serve.rows import Row, row_of


@pytest.fixture(scope="module", autouse=True)
def _two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def lanes() -> Lanes:
    """Start two lanes."""
    return Lanes(2)


def rows_of(lengths: list[int]) -> dict[int, Row]:
    """Make rows of these lengths."""
    return {index: row_of([5] * length, "topic") for index, length in enumerate(lengths)}


@given(st.lists(st.integers(1, 512), min_size=1, max_size=80), st.integers(1, 8))
def test_each_row_is_in_one_part(lengths: list[int], n_lanes: int) -> None:
    """Parts hold every row once, at most one part a lane."""
    parts = share(rows_of(lengths), n_lanes)
    assert sorted(index for part in parts for index in part) == list(range(len(lengths)))
    assert len(parts) in {1, n_lanes}


@given(st.lists(st.integers(1, 512), min_size=1, max_size=80), st.integers(2, 8))
def test_no_part_is_far_longer_than_the_mean(lengths: list[int], n_lanes: int) -> None:
    """Where rows are divided, no lane holds more than MAX_LEAN times the mean."""
    parts = share(rows_of(lengths), n_lanes)
    if len(parts) > 1:
        held = [sum(row.n_tokens for row in part.values()) for part in parts]
        assert max(held) * n_lanes <= MAX_LEAN * sum(lengths)


def test_a_small_pass_is_not_divided() -> None:
    """Two rows that hold fewer tokens than two lanes are worth stay together; a token more divides them."""
    assert len(share(rows_of([MIN_LANE_TOKENS, MIN_LANE_TOKENS - 1]), 2)) == 1
    assert len(share(rows_of([MIN_LANE_TOKENS, MIN_LANE_TOKENS]), 2)) == 2


def test_a_lone_row_is_not_divided() -> None:
    """One long row runs on all cores together."""
    assert len(share(rows_of([2048]), 2)) == 1


def test_lanes_have_one_core_and_the_caller_keeps_its_own(lanes: Lanes) -> None:
    """A lane works with one thread; the caller's thread and a later thread still have the process's number."""
    seen = {}

    def work(part: Mapping[int, Row]) -> Mapping[int, int]:
        torch.ones(512, 512) @ torch.ones(512, 512)  # a product: what torch asks its number of threads for
        seen[threading.current_thread().name] = torch.get_num_threads()
        return dict.fromkeys(part, 0)

    lanes.run(rows_of([400] * 4), work)
    later = threading.Thread(target=lambda: seen.update(later=torch.get_num_threads()))
    later.start()
    later.join()
    assert seen.pop("later") == 2
    assert torch.get_num_threads() == 2
    assert set(seen.values()) == {1}
    assert all(name.startswith("lane") for name in seen)


def test_what_breaks_in_a_lane_breaks_the_pass(lanes: Lanes) -> None:
    """An error in one lane is raised where the pass was asked for."""

    def work(part: Mapping[int, Row]) -> Mapping[int, int]:
        if 3 in part:
            raise RuntimeError("planted")
        return dict.fromkeys(part, 0)

    with pytest.raises(RuntimeError, match="planted"):
        lanes.run(rows_of([400] * 4), work)
