"""The judge: our engine against `transformers` on the same weights, row by row.

The reference runs each row alone and unpadded, in float32; the engine runs all rows packed. One
judge for every class and dtype; it can fail, which the planted faults show.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
import transformers
from transformers import PreTrainedModel

from serve.engine import load_engine
from serve.rows import Row, RowOutput, RowResult, row_of
from shared.errors import GlossaError
from tests.checkpoints import catalog_model, draw, draw_ids, rounded, write

EXACT = 2e-5  # float32: max|delta| <= EXACT * max(1, max|reference|); at 1e-4 tanh-GELU would hide within 5 bounds
CLOSE = 2e-2  # half precision: |delta| / |reference| <= CLOSE, against float32 on the rounded weights
FAULT_FACTOR = 5.0  # a planted fault passes the bound at least so many times
MIN_STD = 0.5  # of the reference's outputs, or a fault could hide
LENGTHS = (7, 1, 512, 33, 2, 7, 130, 64, 3, 7, 33, 255, 16)

Pairs = list[tuple[torch.Tensor, torch.Tensor]]  # ours, theirs


@dataclass(frozen=True)
class Verdict:
    """How far we are from the reference: `distance` against `bound`, both in the same unit."""

    distance: float
    bound: float
    spread: float

    @property
    def ok(self) -> bool:
        """Whether the engine is equal to the reference within the bound."""
        return self.distance <= self.bound and self.spread >= MIN_STD

    @property
    def times_bound(self) -> float:
        """Return the distance in bounds."""
        return self.distance / self.bound


def judge(reference: PreTrainedModel, rows: Sequence[Row], results: Sequence[RowResult], dtype: torch.dtype) -> Verdict:
    """Compare the engine's results with the reference's on each row alone."""
    pairs: Pairs = []
    for row, result in zip(rows, results, strict=True):
        if isinstance(result, GlossaError):
            raise result
        with torch.no_grad():
            pairs += CASES[type(reference).__name__].compare(reference, row, result)
    ours = torch.cat([mine.flatten() for mine, _ in pairs])
    theirs = torch.cat([their.flatten() for _, their in pairs])
    spread = float(theirs.std())
    if dtype == torch.float32:
        return Verdict(float((ours - theirs).abs().max()), EXACT * max(1.0, float(theirs.abs().max())), spread)
    return Verdict(float((ours - theirs).norm() / theirs.norm()), CLOSE, spread)


def trial(kind: str, dtype: str, vocab_size: int, folder: Path, device: str = "cpu") -> Verdict:
    """Draw a checkpoint of one class into `folder` and judge the engine on it, all rows in one pass."""
    reference = rounded(draw(kind, vocab_size=vocab_size), getattr(torch, dtype))
    model = catalog_model(write(reference, folder), dtype=dtype)
    rows = CASES[kind].asks(draw_ids(LENGTHS, vocab_size=vocab_size))
    results = load_engine(model, folder, device=device).forward(rows)
    return judge(reference, rows, results, getattr(torch, dtype))


@dataclass(frozen=True)
class Case:
    """How one class of the reference is asked and compared."""

    asks: Callable[[Sequence[Sequence[int]]], list[Row]]
    compare: Callable[[PreTrainedModel, Row, RowOutput], Pairs]


def _run(reference: PreTrainedModel, row: Row) -> Any:
    ids = row.input_ids.long()[None]
    return reference(input_ids=ids, attention_mask=torch.ones_like(ids))


def _ask(head: str) -> Callable[[Sequence[Sequence[int]]], list[Row]]:
    return lambda rows: [row_of(ids, head) for ids in rows]


def _ask_masked(rows: Sequence[Sequence[int]]) -> list[Row]:
    """Ask at first, middle and last places, for different numbers of ids and targets in one batch."""
    return [
        row_of(
            ids, "mlm", positions=sorted({0, len(ids) // 2, len(ids) - 1}),
            top_k=1 + i % 5, target_ids=tuple(range(10, 10 + i % 3)),
        )
        for i, ids in enumerate(rows)
    ]  # fmt: skip


def _ask_vectors(rows: Sequence[Sequence[int]]) -> list[Row]:
    """Ask for pooled and per-token vectors, plain and normalised, in one batch."""
    return [row_of(ids, "embed", per_token=i % 2 == 0, normalize=i % 4 > 1) for i, ids in enumerate(rows)]


def _compare_logits(reference: PreTrainedModel, row: Row, output: RowOutput) -> Pairs:
    return [(output["logits"], _run(reference, row).logits.reshape(output["logits"].shape))]


def _compare_masked(reference: PreTrainedModel, row: Row, output: RowOutput) -> Pairs:
    logits = _run(reference, row).logits[0, list(row.positions)]
    pairs = [
        (output["top_logits"], logits.topk(row.top_k).values),
        (output["top_logits"], logits.gather(1, output["top_ids"].long())),
        (output["log_sum_exp"], logits.logsumexp(-1)),
    ]
    if row.target_ids:
        pairs.append((output["target_logits"], logits[:, list(row.target_ids)]))
    return pairs


def _compare_vectors(reference: PreTrainedModel, row: Row, output: RowOutput) -> Pairs:
    states = _run(reference, row).last_hidden_state[0]
    vectors = states if row.per_token else states.mean(0, keepdim=True)
    if row.normalize:  # unit vectors are small numbers: compare at the scale of the states
        scale = vectors.norm(dim=1, keepdim=True)
        return [(output["vectors"] * scale, F.normalize(vectors) * scale)]
    return [(output["vectors"], vectors)]


DTYPES = ("float32", "bfloat16", "float16")
VOCABULARIES: Mapping[str, int] = {"xlm-r": 500, "xlm-v": 9_001}  # XLM-V is XLM-R with a larger vocabulary
CASES: Mapping[str, Case] = {
    "XLMRobertaForSequenceClassification": Case(_ask("classifier"), _compare_logits),
    "XLMRobertaForTokenClassification": Case(_ask("classifier"), _compare_logits),
    "XLMRobertaForMaskedLM": Case(_ask_masked, _compare_masked),
    "XLMRobertaModel": Case(_ask_vectors, _compare_vectors),
}
NOT_YET: Mapping[str, str] = {
    "XLMRobertaForCausalLM": "generation",
    "XLMRobertaForMultipleChoice": "multiple choice",
    "XLMRobertaForQuestionAnswering": "question answering",
}


def public_classes() -> list[str]:
    """Return every model class that transformers publishes for this family."""
    named = [
        name for name in dir(transformers) if name.startswith("XLMRoberta") and not name.startswith("XLMRobertaXL")
    ]
    kinds = {name: getattr(transformers, name) for name in named}
    models = [name for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, PreTrainedModel)]
    return [name for name in models if name != "XLMRobertaPreTrainedModel"]
