"""The contract of an engine, the engine over real weights, and `run_pass`, which finds the rows that break a pass.

An engine answers rows of any heads in one packed forward pass. This module must not know HTTP, Ray, schedulers or where
a row came from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch

from serve.engine.next_token import continue_rows
from serve.engine.own_heads import HeadMaker
from serve.kernels.cpu.library import KernelChoice
from serve.layers.heads import Head, NextTokenHead
from serve.layers.trace import Trace
from serve.models.family import Encoder
from serve.rows.backbone_limits import BackboneLimits
from serve.rows.generation import Rules, with_cache
from serve.rows.kv_cache import CacheShape
from serve.rows.pack import Between, Pack, pack_rows
from serve.rows.row import Row, RowOutput, RowResult, Step
from serve.rows.row_validation import begin_if_valid, validate_rows
from shared.catalog import Model
from shared.errors import GlossaError, NotFinite
from shared.log import log_event


class Engine(Protocol):
    """Answers rows. `model` is its catalog entry, and `backbone_limits` are the limits of its backbone.

    `kernels` says what computes its layers.

    `n_parallel` passes may run in parallel, each on a thread with one core (see serve.engine.parallel_passes). With 1,
    passes run one after the other.
    """

    model: Model
    backbone_limits: BackboneLimits
    n_parallel: int
    kernels: KernelChoice

    def begin(self, row: Row) -> Row:
        """Return the row of the first pass for a generating row, with the size of its cache.

        Other rows are unchanged.
        """
        ...

    def forward(self, rows: Sequence[Row], between: Between | None = None) -> list[RowResult]:
        """Answer rows in one pass. The result has the same order and length.

        A row that cannot be answered gets an error of `shared.errors` in its place, and changes no other row. Outputs
        are CPU tensors in FP32 or INT32. `shared.protocol.head_outputs` says what their first dimension counts. Here it
        is the part of one row:

        - text-classification: `logits` [1, labels]
        - token-classification: `logits` [tokens, labels]
        - question-answering: `start`, `end` [tokens]; with a beam the outputs of `serve.models.xlm.beam_head`
        - multiple-choice: `logits` [1, 1]
        - fill-mask: `top_ids`, `top_logits` [masks, k], `log_sum_exp` [masks]; with targets also `target_logits`
          [masks, targets]
        - feature-extraction: `vectors` [1 or tokens, width]; with layers also `hidden_states` [1 or tokens, layers,
          width]; with attentions also `attentions` [n]; with variant sparse only `token_weights` [tokens]
        - text-generation: a Step until the row is done, whose row goes into a later pass; then `ids` [new tokens],
          `row_lengths` [1]

        `between` is called between two layers on the same thread, and may run other passes. At most `n_parallel` calls
        may run at a time.
        """
        ...

    def take_heads(self, model: Model) -> None:
        """Become the engine of `model`, which differs in heads with checkpoints of their own alone.

        Only heads that are new or have changed are read. Passes may run meanwhile. Raises CheckpointError, and then
        changes nothing.
        """
        ...


class PackedEngine:
    """The engine over real weights: one backbone and any number of heads."""

    def __init__(
        self,
        model: Model,
        encoder: Encoder,
        heads: Mapping[str, Head],
        *,
        make: HeadMaker,
        backbone_limits: BackboneLimits,
        rules: Rules,
        cache_shape: CacheShape,
        n_parallel: int,
        kernels: KernelChoice,
    ) -> None:
        """Take the parts of a model. `rules` come from its family.

        `cache_shape` is the shape of its caches, if it is causal.
        """
        self.model = model
        self.backbone_limits = backbone_limits
        self.n_parallel = n_parallel
        self.kernels = kernels
        self._encoder = encoder
        self._heads = dict(heads)
        self._make = make
        self._cache_shape = cache_shape
        self._rules = replace(
            rules,
            eos_ids=rules.eos_ids if model.eos_id is None else model.eos_ids,
            cache_token_bytes=cache_shape.token_bytes if model.causal else 0,
        )

    def take_heads(self, model: Model) -> None:
        """Take the heads of `model`, as Engine.take_heads says. One that is gone stays for the rows in flight."""
        before = self.model.heads
        fresh = {name: head for name, head in model.heads.items() if before.get(name) != head}
        self._heads = {**self._heads, **self._make.make(fresh)}
        self.model = model

    def begin(self, row: Row) -> Row:
        """Return the row of the first pass, as Engine.begin says."""
        return begin_if_valid(row, self.model, self.backbone_limits, self._rules)

    def forward(self, rows: Sequence[Row], between: Between | None = None) -> list[RowResult]:
        """Answer rows in one packed pass, as Engine.forward says."""
        errors = validate_rows(rows, self.model, self.backbone_limits)
        valid = {index: row for index, (row, error) in enumerate(zip(rows, errors, strict=True)) if error is None}
        answers = self._answer(valid, between) if valid else {}
        return [error or answers[index] for index, error in enumerate(errors)]

    @torch.inference_mode()
    def _answer(self, rows: Mapping[int, Row], between: Between | None) -> dict[int, RowResult]:
        begun = {index: self._with_cache(self.begin(row)) for index, row in rows.items()}
        pack = pack_rows(begun, self._cache_shape.device, between)
        asked = any(row.layers or row.attentions for row in pack.rows)
        trace = Trace(pack, self._encoder.n_layers) if asked else None
        states = self._encoder(pack, trace)
        answers: dict[int, RowResult] = {}
        for name, members in pack.by_head().items():
            for member, output in zip(members, self._read(name, states, pack, members), strict=True):
                whole = output if trace is None or isinstance(output, Step) else {**output, **trace.output(member)}
                answers[pack.order[member]] = self._finite(whole, name)
        return answers

    def _read(self, name: str, states: torch.Tensor, pack: Pack, members: list[int]) -> Sequence[RowOutput | Step]:
        head = self._heads[name]
        if isinstance(head, NextTokenHead):
            return continue_rows(head, states, pack, members, self._rules)
        return head(states, pack, members)

    def _with_cache(self, row: Row) -> Row:
        return with_cache(row, self._cache_shape) if row.cache_bytes else row

    def _finite(self, output: RowOutput | Step, head: str) -> RowResult:
        if isinstance(output, Step) or all(bool(np.isfinite(tensor.numpy()).all()) for tensor in output.values()):
            return output
        reason = f"got numbers that are not finite from head {self.model.name}:{head}, expected finite ones"
        return NotFinite(reason, hint=f"the row overflows in {self.model.dtype}; serve it in bfloat16 or float32")


@dataclass(frozen=True, slots=True)
class PassResults:
    """The result of each row, in order. `n_broken` counts the passes that raised an error on the way."""

    results: list[RowResult]
    n_broken: int = 0


def run_pass(engine: Engine, rows: list[Row], between: Between | None = None) -> PassResults:
    """Run rows in one pass, or in several when the pass breaks. Raises nothing that the engine raises.

    The engine calls `between` between two layers of the first pass.
    """
    try:
        results = engine.forward(rows, between)
        if len(results) != len(rows):
            raise RuntimeError(f"got {len(results)} results for {len(rows)} rows")  # noqa: TRY301 - handled alike
    except Exception as error:  # noqa: BLE001 - whatever breaks a pass must not end the thread
        log_event("forward-pass-failed", level="error", error_type=type(error).__name__, n_rows=len(rows))
        if len(rows) == 1:
            return PassResults([GlossaError(f"the forward pass failed with {type(error).__name__}")], n_broken=1)
        half = len(rows) // 2
        first, second = run_pass(engine, rows[:half]), run_pass(engine, rows[half:])
        return PassResults(first.results + second.results, 1 + first.n_broken + second.n_broken)
    return PassResults(results)
