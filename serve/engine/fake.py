"""An engine with the contract of PackedEngine but without weights. Its outputs depend on the ids only.

It is for tests and dry runs of everything around an engine. Names, shapes, dtypes and errors are the same; the numbers
mean nothing. It must not know weights or devices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch

from serve.kernels.cpu.library import KernelChoice
from serve.rows.backbone_limits import BackboneLimits
from serve.rows.generation import Rules, advance
from serve.rows.pack import Between
from serve.rows.row import Generation, Row, RowOutput, RowResult, Step
from serve.rows.row_validation import begin_if_valid, validate_rows
from serve.rows.sampling import draw
from shared.catalog import Head, Model
from shared.messages import Sampling

WIDTH = 16
BOUNDS = BackboneLimits(n_layers=2, n_heads=2, width=WIDTH, n_types=2, n_positions=1024)
N_LANGS = 16  # of an XLM model, in which token types are word ids
BEAM = 3  # number of starts, and of ends per start, of a beam head
LABELS = 2  # of a head whose catalog entry names none


class FakeEngine:
    """Answers every row from its own ids, independently of the other rows.

    `n_forwards` and `n_tokens` count its passes and their tokens. With `cache_token_bytes` a generating row reads one
    token per step, otherwise all of its text; its output is the same.
    """

    def __init__(self, model: Model, *, cache_token_bytes: int = 0, n_parallel: int = 1) -> None:
        self.model = model
        self.n_parallel = n_parallel
        self.kernels = KernelChoice()
        of_xlm = {"n_langs": N_LANGS, "n_types": model.vocab_size}
        self.backbone_limits = replace(BOUNDS, **of_xlm) if model.family == "xlm" else BOUNDS
        self.rules = Rules(eos_ids=model.eos_ids, cache_token_bytes=cache_token_bytes)
        self.n_forwards = 0
        self.n_tokens = 0

    def take_heads(self, model: Model) -> None:
        """Take the heads of `model`."""
        self.model = model

    def begin(self, row: Row) -> Row:
        """Return the row of the first pass for a valid generating row. Return any other row unchanged."""
        return begin_if_valid(row, self.model, self.backbone_limits, self.rules)

    def forward(self, rows: Sequence[Row], between: Between | None = None) -> list[RowResult]:
        """Answer rows in order, with an error in the place of an invalid row.

        It calls `between` once, as an engine of two layers would.
        """
        self.n_forwards += 1
        self.n_tokens += sum(row.n_tokens for row in rows)
        errors = validate_rows(rows, self.model, self.backbone_limits)
        if between is not None:
            between()
        return [error or self._answer(self.begin(row)) for row, error in zip(rows, errors, strict=True)]

    def _answer(self, row: Row) -> RowOutput | Step:
        head = self.model.heads[row.head]
        if row.state is not None:
            return self._continue(row, row.state)
        return _ANSWERS[head.task](row, head, self.model.vocab_size)

    def _continue(self, row: Row, state: Generation) -> RowOutput | Step:
        """Return what follows one more token, which is chosen from numbers made of the whole text."""
        text = int(state.prompt.input_ids.sum()) + sum(state.new_ids) * (1 + len(state.new_ids))
        logits = _numbers(torch.tensor([text]), self.model.vocab_size)[0]
        token, random = choose(logits, state.sampling, state.random)
        return advance(row, token, random, self.rules)


def choose(logits: torch.Tensor, sampling: Sampling, state: torch.Tensor | None) -> tuple[int, torch.Tensor | None]:
    """Choose the next token from `logits` FP32 [vocabulary]. Return it with the generator state for the next choice."""
    return (int(logits.argmax()), None) if state is None else draw(logits, sampling, state)


def _numbers(ids: torch.Tensor, width: int) -> torch.Tensor:
    """Map ids [n] to floats [n, width] in [-1, 1), each exactly representable."""
    mixed = (ids.long()[:, None] * 7919 + torch.arange(width) * 104_729 + 12_345) % 4096
    return mixed.float() / 2048 - 1


def _classify(row: Row, head: Head, _: int) -> RowOutput:
    return {"logits": _numbers(row.input_ids.sum()[None], len(head.labels) or LABELS)}


def _tag(row: Row, head: Head, _: int) -> RowOutput:
    return {"logits": _numbers(row.input_ids, len(head.labels) or LABELS)}


def _fill(row: Row, _: Head, vocab_size: int) -> RowOutput:
    seeds = row.input_ids.sum() + torch.tensor(row.positions)
    ranks = torch.arange(row.top_k)
    found: dict[str, torch.Tensor] = {
        "top_ids": ((seeds[:, None] + ranks) % vocab_size).to(torch.int32),
        "top_logits": 4 - ranks.float().expand(len(seeds), -1) / 2,
        "log_sum_exp": torch.full((len(seeds),), 6.0),
    }
    if row.target_ids:
        found["target_logits"] = _numbers(torch.tensor(row.target_ids), 1).T.repeat(len(seeds), 1)
    return found


def _embed(row: Row, head: Head, _: int) -> RowOutput:
    if head.variant == "sparse":
        return {"token_weights": _numbers(row.input_ids, 1)[:, 0].relu()}
    output = {"vectors": _vectors(row, _numbers(row.input_ids, WIDTH))}
    if row.layers:
        states = [_vectors(row, _numbers(row.input_ids + layer % (BOUNDS.n_layers + 1), WIDTH)) for layer in row.layers]
        output["hidden_states"] = torch.stack(states, dim=1)
    if row.attentions:
        n = BOUNDS.n_heads * row.n_tokens**2
        output["attentions"] = torch.full((BOUNDS.n_layers * n,), 1 / row.n_tokens)
        output["attention_sizes"] = torch.full((1, BOUNDS.n_layers), n, dtype=torch.int32)
    return output


def _vectors(row: Row, states: torch.Tensor) -> torch.Tensor:
    pooled = {"mean": states.mean(0), "cls": states[0], "max": states.amax(0)}[row.pooling][None]
    vectors = states if row.per_token else pooled
    return torch.nn.functional.normalize(vectors) if row.normalize else vectors


def _span(row: Row, head: Head, _: int) -> RowOutput:
    if not head.variant:
        start, end = _numbers(row.input_ids, 2).T
        return {"start": start, "end": end}
    positions = _numbers(row.input_ids.sum()[None], BEAM * BEAM + BEAM).abs() * (row.n_tokens - 1)
    ranks = _numbers(row.input_ids.sum()[None], BEAM * BEAM + BEAM + 1).abs()
    return {
        "start_top_log_probs": ranks[:, :BEAM],
        "start_top_index": positions[:, :BEAM].to(torch.int32),
        "end_top_log_probs": ranks[:, BEAM:-1],
        "end_top_index": positions[:, BEAM:].to(torch.int32),
        "cls_logits": ranks[:, -1],
    }


def _choose(row: Row, _: Head, __: int) -> RowOutput:
    return {"logits": _numbers(row.input_ids.sum()[None], 1)}


_ANSWERS: Mapping[str, Callable[[Row, Head, int], RowOutput]] = {
    "text-classification": _classify,
    "token-classification": _tag,
    "fill-mask": _fill,
    "feature-extraction": _embed,
    "question-answering": _span,
    "multiple-choice": _choose,
}
