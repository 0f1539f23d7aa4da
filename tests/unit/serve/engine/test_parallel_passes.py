"""Lanes: when dividing pays, every row in one part, parts of near equal size."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serve.engine.parallel_passes import MAX_ROW_TO_PASS_RATIO, MIN_PASS_TOKENS, is_parallel_faster, partition_rows

SIZES = st.lists(st.integers(0, 512), min_size=1, max_size=80).filter(any).map(lambda sizes: dict(enumerate(sizes)))


@given(SIZES, st.integers(1, 8), st.integers(1, 4096))
def test_each_row_is_in_one_part(sizes: dict[int, int], n_parallel: int, most_tokens: int) -> None:
    """Parts hold every row once, and none is empty."""
    parts = partition_rows(sizes, n_parallel, most_tokens)
    assert sorted(index for part in parts for index in part) == sorted(sizes)
    assert all(parts)


@given(SIZES, st.integers(1, 8), st.integers(1, 4096))
def test_parts_are_near_equal_and_bounded(sizes: dict[int, int], n_parallel: int, most_tokens: int) -> None:
    """No part holds more than its share and a row, nor more than `most_tokens` and a row; lengths fall throughout."""
    parts = partition_rows(sizes, n_parallel, most_tokens)
    share = sum(sizes.values()) / n_parallel
    for part in parts:
        assert sum(sizes[index] for index in part) <= min(share, most_tokens) + max(sizes.values())
    lengths = [sizes[index] for part in parts for index in part]
    assert lengths == sorted(lengths, reverse=True)


def test_few_tokens_are_not_divided() -> None:
    """A token fewer than two lanes are worth stays with all cores together."""
    assert not is_parallel_faster(2 * MIN_PASS_TOKENS - 1, 1, 2)
    assert is_parallel_faster(2 * MIN_PASS_TOKENS, 1, 2)


def test_one_long_row_is_not_left_to_one_core() -> None:
    """A row that is more than MAX_ROW_TO_PASS_RATIO times a lane's mean runs on all cores together."""
    longest = int(MAX_ROW_TO_PASS_RATIO * 1000 / 2)
    assert is_parallel_faster(1000, longest, 2)
    assert not is_parallel_faster(1000, longest + 1, 2)
    assert not is_parallel_faster(2048, 2048, 2)


def test_without_lanes_nothing_is_divided() -> None:
    """One lane is all cores."""
    assert not is_parallel_faster(100_000, 1, 1)
