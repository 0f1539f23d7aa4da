"""Rows that a model cannot take are refused one by one, with the reason."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from serve.engine.fake import BOUNDS
from serve.rows.row import row_of
from serve.rows.row_validation import check_output_bytes, validate_rows
from shared.catalog import Model
from shared.errors import NotFound, TooLarge, Unprocessable
from shared.limits import MAX_TOP_K
from shared.messages import InferCall, Sampling, Tensor


def test_errors_are_found_row_by_row(model: Model) -> None:
    """Each bad row gets its own error with value and expectation. Good rows get none."""
    cases = [
        (row_of([5], "topic"), None, ""),
        (row_of([], "topic"), Unprocessable, "got a row of 0 tokens"),
        (row_of(range(33), "topic"), TooLarge, "33 tokens, model toy takes at most 32"),
        (row_of([5], "nope"), NotFound, "no head 'nope'"),
        (row_of([5, 100], "topic"), Unprocessable, "got token id 100, expected 0 <= id < 100"),
        (row_of([-1], "topic"), Unprocessable, "got token id -1"),
        (row_of([5], "topic", lang_ids=torch.tensor([0])), Unprocessable, "takes none"),
        (row_of([5], "mlm"), Unprocessable, "got no positions"),
        (row_of([5], "mlm", positions=(1,)), Unprocessable, "got position 1, expected 0 <= position < 1"),
        (row_of([5], "mlm", positions=(0,), top_k=MAX_TOP_K + 1), Unprocessable, "expected 1 <= top_k <= 100"),
        (row_of([5], "mlm", positions=(0,), target_ids=(100,)), Unprocessable, "got target id 100"),
        (row_of([5], "mlm", positions=(0, 0)), Unprocessable, "got 2 positions, expected at most one for each of 1"),
        (row_of([5], "mlm", positions=(0,), target_ids=(4,) * 1001), TooLarge, "got 1001 target ids, at most 1000"),
        (row_of([99], "mlm", positions=(0,)), None, ""),
        (
            row_of([5], "topic", token_type_ids=torch.tensor([2])),
            Unprocessable,
            "got 2 in token_type_ids, expected",
        ),
        (row_of([5], "topic", position_ids=torch.tensor([-1])), Unprocessable, "got -1 in position_ids"),
        (row_of([5, 6], "topic", position_ids=torch.tensor([1])), Unprocessable, "got 1 position_ids for 2 tokens"),
        (row_of([5], "topic", pooling="cls"), Unprocessable, "got pooling, a parameter of feature-extraction"),
        (row_of([5], "topic", layers=(0,)), Unprocessable, "got layers, a parameter of feature-extraction"),
        (row_of([5], "topic", positions=(0,)), Unprocessable, "got positions, a parameter of fill-mask, head topic"),
        (row_of([5], "topic", target_ids=(5,)), Unprocessable, "got target_ids, a parameter of fill-mask, head topic"),
        (row_of([5], "topic", top_k=3), Unprocessable, "got top_k, a parameter of fill-mask, head topic does"),
        (row_of([5], "entities", target_ids=(5,)), Unprocessable, "got target_ids, a parameter of fill-mask"),
        (row_of([5], "embed", positions=(0,)), Unprocessable, "got positions, a parameter of fill-mask, head embed"),
        (row_of([5], "topic", sampling=Sampling()), Unprocessable, "got parameters of text-generation"),
        (
            row_of([5], "embed", layers=(0, 3)),
            Unprocessable,
            "parameters.layers: got layer 3, expected -3 <= layer <= 2",
        ),
        (row_of([5], "embed", layers=(-4,)), Unprocessable, "got layer -4, expected -3 <= layer <= 2"),
        (row_of([5], "embed", layers=(-3, 2), attentions=True, pooling="max"), None, ""),
    ]
    errors = validate_rows([row for row, _, _ in cases], model, BOUNDS)
    assert [type(error) if error else None for error in errors] == [kind for _, kind, _ in cases]
    for error, (_, _, said) in zip(errors, cases, strict=True):
        assert error is None or said in error.message


def test_attentions_past_the_cap_are_refused(model: Model) -> None:
    """A row whose attentions exceed the limit is a 422 that names the limit and the longest row that fits."""
    wide = replace(BOUNDS, n_layers=1000, n_heads=1000)
    [error] = validate_rows([row_of(range(20), "embed", attentions=True)], model, wide)
    assert isinstance(error, Unprocessable)
    assert "at most 67108864" in error.message
    assert "at most 4 tokens" in str(error.hint)


def test_a_call_that_asks_for_too_many_vectors_is_refused_before_its_pass() -> None:
    """The vectors of all tokens of a call may not exceed the size of an answer, with or without layers."""
    call = InferCall("toy", "embed", Tensor.ints(range(8)), Tensor.ints([4, 4]), per_token=True)
    n_bytes = 4 * 8 * BOUNDS.width
    check_output_bytes(call, BOUNDS, n_bytes)
    with pytest.raises(TooLarge, match=f"vectors or attentions of 8 tokens that take {n_bytes} bytes"):
        check_output_bytes(call, BOUNDS, n_bytes - 1)


def test_a_call_that_asks_to_see_too_much_is_refused() -> None:
    """The layers and attentions of all rows of a call together may not exceed the size of an answer."""
    call = InferCall("toy", "embed", Tensor.ints(range(8)), Tensor.ints([4, 4]), layers=(0, 1), attentions=True)
    n_bytes = 4 * (2 * 2 * BOUNDS.width + 2 * BOUNDS.n_layers * BOUNDS.n_heads * 16)
    check_output_bytes(call, BOUNDS, n_bytes)
    with pytest.raises(TooLarge, match=f"take {n_bytes} bytes, at most {n_bytes - 1}"):
        check_output_bytes(call, BOUNDS, n_bytes - 1)
