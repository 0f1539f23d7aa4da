"""Calls are split into rows, and the outputs of rows are joined into an answer."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from serve.rows.row import join, split
from shared.errors import TooLarge, Unprocessable
from shared.messages import InferCall, Tensor

IDS = st.lists(st.lists(st.integers(0, 99), max_size=9), min_size=1, max_size=6)


def _call(rows: list[list[int]], **fields: object) -> InferCall:
    flat = [i for row in rows for i in row]
    return InferCall("toy", "topic", Tensor.ints(flat), Tensor.ints(map(len, rows)), **fields)  # type: ignore[arg-type] # test shorthand


@given(IDS)
def test_split_keeps_every_row(rows: list[list[int]]) -> None:
    """Splitting a call gives each row's ids back, in order."""
    assert [row.input_ids.tolist() for row in split(_call(rows))] == rows


def test_split_counts_positions_from_the_row_start() -> None:
    """Positions in the packed stream become positions in their row."""
    call = _call([[5, 6, 7], [8], [9, 10]], positions=Tensor.ints([1, 2, 5]), positions_per_row=Tensor.ints([2, 0, 1]))
    assert [row.positions for row in split(call)] == [(1, 2), (), (1,)]


def test_split_passes_on_what_is_asked() -> None:
    """Every row has the options of the call and its own part of the language ids."""
    call = _call(
        [[1, 2], [3]], lang_ids=Tensor.ints([7, 7, 8]), top_k=3, target_ids=(4,), per_token=True, normalize=True
    )
    first, second = split(call)
    assert (first.top_k, first.target_ids, first.per_token, first.normalize) == (3, (4,), True, True)
    assert first.lang_ids is not None
    assert second.lang_ids is not None
    assert (first.lang_ids.tolist(), second.lang_ids.tolist()) == ([7, 7], [8])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"row_lengths": Tensor.ints([1])}, "sum to 1, expected 2 tokens"),
        ({"row_lengths": Tensor.ints([3, -1])}, "none negative"),
        ({"row_lengths": Tensor.ints([])}, "0 rows"),
        ({"positions": Tensor.ints([0]), "positions_per_row": Tensor.ints([0, 0])}, "expected 1 positions"),
        ({"positions": Tensor.ints([0]), "positions_per_row": Tensor.ints([1])}, "for 1 rows, expected 2"),
    ],
)
def test_split_refuses_parts_that_do_not_add_up(fields: dict[str, Tensor], said: str) -> None:
    """Lengths and counts that do not match their streams are the caller's error."""
    parts = {"input_ids": Tensor.ints([1, 2]), "row_lengths": Tensor.ints([1, 1])} | fields
    with pytest.raises(Unprocessable, match=said):
        split(InferCall("toy", "topic", **parts))  # type: ignore[arg-type] # test shorthand


def test_join_packs_rows_in_order() -> None:
    """Outputs of all rows follow one another. Floats become FP32 and ids become INT32."""
    results = [{"x": torch.tensor([[1.5, 2.0]]), "i": torch.tensor([[n]])} for n in (3, 4)]
    packed = join(results)
    assert packed == {"x": Tensor.floats([1.5, 2, 1.5, 2], (2, 2)), "i": Tensor.ints([3, 4], (2, 1))}


def test_join_names_the_row_that_failed() -> None:
    """A call with a failed row fails with the class and hint of that row's error, and names the row."""
    with pytest.raises(TooLarge, match="row 1: long") as caught:
        join([{"x": torch.zeros(1)}, TooLarge("long", hint="cut it")])
    assert caught.value.hint == "cut it"
