"""The fake engine, and `infer` with it."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from serve.engine.engine import Engine
from serve.engine.fake import WIDTH, FakeEngine
from serve.engine.run_call import infer
from serve.rows.row import Row, RowResult, row_of
from shared.catalog import Model
from shared.errors import GlossaError
from shared.messages import InferCall, Tensor


def _rows() -> list[Row]:
    return [
        row_of([0, 5, 2], "topic"),
        row_of([0, 6, 7, 2], "entities"),
        row_of([0, 8, 9, 2], "mlm", positions=(1, 2), top_k=3, target_ids=(4, 5)),
        row_of([0, 5, 2], "embed", normalize=True),
        row_of([0, 5, 2], "embed", per_token=True),
    ]


def _shapes(results: Sequence[RowResult]) -> list[dict[str, tuple[int, ...]]]:
    return [{} if isinstance(r, GlossaError) else {k: tuple(v.shape) for k, v in r.items()} for r in results]


def test_shapes_follow_the_contract(model: Model) -> None:
    """Every head answers with the names and shapes in the contract of Engine.forward."""
    engine: Engine = FakeEngine(model)
    assert _shapes(engine.forward(_rows())) == [
        {"logits": (1, 3)},
        {"logits": (4, 2)},
        {"top_ids": (2, 3), "top_logits": (2, 3), "log_sum_exp": (2,), "target_logits": (2, 2)},
        {"vectors": (1, WIDTH)},
        {"vectors": (3, WIDTH)},
    ]


def test_an_answer_depends_on_its_row_alone(model: Model) -> None:
    """A row answers the same alone and with batch mates."""
    engine = FakeEngine(model)
    together = engine.forward(_rows())
    for row, result in zip(_rows(), together, strict=True):
        (alone,) = engine.forward([row])
        assert not isinstance(alone, GlossaError)
        assert not isinstance(result, GlossaError)
        assert all(torch.equal(alone[name], result[name]) for name in alone)


def test_one_bad_row_fails_alone(model: Model) -> None:
    """A refused row does not affect the others."""
    results = FakeEngine(model).forward([row_of([5], "topic"), row_of([500], "topic"), row_of([6], "topic")])
    assert [isinstance(result, GlossaError) for result in results] == [False, True, False]


def test_infer_answers_in_the_callers_order_within_the_budget(model: Model) -> None:
    """Rows of any length are answered in the order in which they were sent, however many passes they took."""
    engine = FakeEngine(model)
    rows = [[n] * (n % 30 + 1) for n in (40, 3, 25, 29, 8, 28)]
    lengths = Tensor.ints(map(len, rows))
    call = InferCall("toy", "entities", Tensor.ints([i for row in rows for i in row]), lengths)
    outputs = infer(engine, call)
    assert engine.n_forwards > 1
    expected = [result["logits"] for result in engine.forward([row_of(row, "entities") for row in rows])]  # type: ignore[index,call-overload,unused-ignore] # none of these rows fails
    assert list(outputs.outputs["logits"].float_values()) == torch.cat(expected).flatten().tolist()
    assert set(outputs.timings_s) == {"queue", "infer"}
