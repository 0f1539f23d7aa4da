"""When parallel passes are faster, and how rows are divided between them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serve.engine.parallel_passes import MAX_ROW_TO_PASS_RATIO, MIN_PASS_TOKENS, is_parallel_faster, partition_rows

SIZES = st.lists(st.integers(0, 512), min_size=1, max_size=80).filter(any).map(lambda sizes: dict(enumerate(sizes)))


@given(SIZES, st.integers(1, 8), st.integers(1, 4096))
def test_each_row_is_in_one_part(sizes: dict[int, int], n_parallel: int, most_tokens: int) -> None:
    """The parts hold every row once, and no part is empty."""
    parts = partition_rows(sizes, n_parallel, most_tokens)
    assert sorted(index for part in parts for index in part) == sorted(sizes)
    assert all(parts)


@given(SIZES, st.integers(1, 8), st.integers(1, 4096))
def test_parts_are_near_equal_and_bounded(sizes: dict[int, int], n_parallel: int, most_tokens: int) -> None:
    """A part exceeds neither its share nor `most_tokens` by more than one row. Lengths decrease over all parts."""
    parts = partition_rows(sizes, n_parallel, most_tokens)
    share = sum(sizes.values()) / n_parallel
    for part in parts:
        assert sum(sizes[index] for index in part) <= min(share, most_tokens) + max(sizes.values())
    lengths = [sizes[index] for part in parts for index in part]
    assert lengths == sorted(lengths, reverse=True)


def test_few_tokens_are_not_divided() -> None:
    """One token too few for two passes runs on all cores together."""
    assert not is_parallel_faster(2 * MIN_PASS_TOKENS - 1, 1, 2)
    assert is_parallel_faster(2 * MIN_PASS_TOKENS, 1, 2)


def test_one_long_row_is_not_left_to_one_core() -> None:
    """A row longer than MAX_ROW_TO_PASS_RATIO times the mean of a pass runs on all cores together."""
    longest = int(MAX_ROW_TO_PASS_RATIO * 1000 / 2)
    assert is_parallel_faster(1000, longest, 2)
    assert not is_parallel_faster(1000, longest + 1, 2)
    assert not is_parallel_faster(2048, 2048, 2)


def test_without_parallel_passes_nothing_is_divided() -> None:
    """With one pass at a time, all cores share it."""
    assert not is_parallel_faster(100_000, 1, 1)
