"""The engine: rows of any heads in, one packed forward pass, each row's answer out.

Says what an engine is, is the one over real weights, and answers a call without a scheduler.
Must not know HTTP, Ray or where a row came from.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from serve.checkpoints.read import CheckpointError, check_weights, fetch, read_tensors, tensor_shapes
from serve.engine.next_token import continue_rows
from serve.engine.parallel_passes import divides, parts_of
from serve.engine.quantize import SIDE_BY_SIDE, quantized
from serve.kernels.core_team import one_core_each
from serve.kernels.cpu.decoder import decoder_for
from serve.kernels.cpu.embeddings import embed_for
from serve.kernels.cpu.products import linear_for
from serve.layers.attention import attention_for
from serve.layers.heads import Head, NextTokenHead
from serve.layers.linear import linear_of
from serve.layers.norms import norm_for
from serve.layers.parts import ModelParts
from serve.layers.trace import trace_of
from serve.models.checkpoint_facts import check_tensors, read_config
from serve.models.family import FAMILIES, Encoder, Family
from serve.rows.backbone_limits import BackboneLimits
from serve.rows.call_rows import Row, RowOutput, RowResult, join, split
from serve.rows.generation import Rules, Step, with_cache
from serve.rows.kv_cache import Caching
from serve.rows.pack import Between, Pack, pack_rows
from serve.rows.row_validation import begin_if_valid, validate_rows
from shared.catalog import Model
from shared.errors import GlossaError, NotFinite
from shared.messages import InferCall, ModelOutput


class Engine(Protocol):
    """What answers rows. `model` is the catalog entry it serves, `bounds` is what a row may ask of its backbone.

    `n_parallel` passes may run side by side, each on a thread with one core (serve.engine.parallel_passes); with 1
    none may.
    """

    model: Model
    bounds: BackboneLimits
    n_parallel: int

    def begin(self, row: Row) -> Row:
        """Return a generating row as its first pass reads it, with what it will hold; any other as it is."""
        ...

    def forward(self, rows: Sequence[Row], between: Between | None = None) -> list[RowResult]:
        """Answer rows in one pass: same order, same length. Between two layers `between` is done, on the same thread.

        A row that cannot be answered has an instance of a `shared.errors` class in its place and
        changes no other row. Outputs are CPU tensors, FP32 or INT32, with a leading dimension of
        1 (classify, pooled vectors), tokens or masks:
        text-classification: `logits` [1, labels]; token-classification: `logits` [tokens, labels];
        question-answering: `start`, `end` [tokens]; multiple-choice: `logits` [1, 1];
        fill-mask: `top_ids`, `top_logits` [masks, k], `log_sum_exp` [masks], with targets also
        `target_logits` [masks, targets]; feature-extraction: `vectors` [1 or tokens, width], with layers
        also `hidden_states` [1 or tokens, layers, width], with attentions `attentions` [n].
        A text-generation row has a Step in its place until it is done: give the step's row to a later pass.
        Done, `ids` [new tokens], `row_lengths` [1]. At most `n_parallel` at a time; `between` may run others.
        """
        ...


class PackedEngine:
    """The engine over real weights: one backbone, any number of heads."""

    def __init__(
        self,
        model: Model,
        encoder: Encoder,
        heads: Mapping[str, Head],
        *,
        bounds: BackboneLimits,
        rules: Rules,
        caching: Caching,
        n_parallel: int,
    ) -> None:
        """Take the parts of a model; `rules` are its family's, `caching` is how it keeps keys and values if causal."""
        self.model = model
        self.bounds = bounds
        self.n_parallel = n_parallel
        self._encoder = encoder
        self._heads = heads
        self._caching = caching
        self._rules = replace(
            rules,
            eos_ids=rules.eos_ids if model.eos_id is None else model.eos_ids,
            cache_token_bytes=caching.token_bytes if model.causal else 0,
        )

    def begin(self, row: Row) -> Row:
        """Return a generating row as its first pass reads it, as Engine.begin says."""
        return begin_if_valid(row, self.model, self.bounds, self._rules)

    def forward(self, rows: Sequence[Row], between: Between | None = None) -> list[RowResult]:
        """Answer rows in one packed pass, as Engine.forward says."""
        faults = validate_rows(rows, self.model, self.bounds)
        sound = {index: row for index, (row, fault) in enumerate(zip(rows, faults, strict=True)) if fault is None}
        answers = self._answer(sound, between) if sound else {}
        return [fault or answers[index] for index, fault in enumerate(faults)]

    @torch.inference_mode()
    def _answer(self, rows: Mapping[int, Row], between: Between | None) -> dict[int, RowResult]:
        begun = {index: self._with_cache(self.begin(row)) for index, row in rows.items()}
        pack = pack_rows(begun, self._caching.device, between)
        trace = trace_of(pack, self._encoder.n_layers)
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
        return with_cache(row, self._caching) if row.cache_bytes else row

    def _finite(self, output: RowOutput | Step, head: str) -> RowResult:
        if isinstance(output, Step) or all(bool(np.isfinite(tensor.numpy()).all()) for tensor in output.values()):
            return output
        said = f"got numbers that are not finite from head {self.model.name}:{head}, expected finite ones"
        return NotFinite(said, hint=f"the row overflows in {self.model.dtype}; serve it in bfloat16 or float32")


def load_engine(
    model: Model, root: Path, *, device: torch.device | str | None = None, cache: Path | None = None
) -> PackedEngine:
    """Fetch, prove and load a catalog model; `root` is the catalog's folder.

    `device` defaults to CUDA where there is one, else the CPU; `cache` is where S3 and hub
    downloads are kept. Raises CheckpointError when the checkpoint is not what the catalog says,
    or not one we can answer exactly for.
    """
    folder = fetch(model.checkpoint, root, cache=cache)
    check_weights(folder, model.weights_sha256)
    family, config = read_config(folder)
    _check_agreement(model, family, config)
    backbone, of_heads = check_tensors(tensor_shapes(folder), family, config, model.heads.values())
    stored = read_tensors(folder, backbone.keys() | of_heads, getattr(torch, model.dtype))
    named = {backbone.get(name, name): tensor for name, tensor in stored.items()}
    return build_engine(model, config, named, device=torch.device(device or _best_device()))


def build_engine(
    model: Model,
    config: Any,
    tensors: Mapping[str, torch.Tensor],
    *,
    device: torch.device,
    parts: ModelParts | None = None,
) -> PackedEngine:
    """Make an engine from reference tensors: the backbone's without prefix, the heads' as in the checkpoint.

    `parts` defaults to the exact ones with the attention that `model` asks for; either stores its layers as
    `model` says.
    """
    dtype = getattr(torch, model.dtype)
    placed = {name: tensor.to(device, dtype) for name, tensor in tensors.items()}
    head_width = config.hidden_size // config.num_attention_heads
    family = FAMILIES[model.family]
    attend = attention_for(device, dtype, head_width, model.attn_implementation)
    linear = linear_for(device, dtype) if model.quantization == "none" else linear_of
    exact = ModelParts(
        attend=attend, linear=linear, norm=norm_for(device, dtype), embed=embed_for(device, dtype),
        decoder=decoder_for(device, dtype),
    )  # fmt: skip
    parts = quantized(parts or exact, model, device)
    encoder = family.build_encoder(config, placed, parts)
    heads = {name: family.build_head(head, placed, encoder.words, config, parts) for name, head in model.heads.items()}
    bounds = family.bounds(config)
    caching = Caching(bounds.n_layers, bounds.n_heads, family.width(config) // bounds.n_heads, dtype, device)
    has_lanes = device.type == "cpu" and model.quantization in SIDE_BY_SIDE
    n_parallel = torch.get_num_threads() if has_lanes else 1
    rules = family.rules(config)
    return PackedEngine(model, encoder, heads, bounds=bounds, rules=rules, caching=caching, n_parallel=n_parallel)


def infer(engine: Engine, call: InferCall) -> ModelOutput:
    """Answer one call with no scheduler: near lengths together, at most `token_budget` a pass.

    Raises the error of the first row that cannot be answered.
    """
    started_s = time.perf_counter()
    rows = split(call)
    results: dict[int, RowOutput | GlossaError] = {}
    waiting = {index: engine.begin(row) for index, row in enumerate(rows)}
    while waiting:  # ends: each pass brings every generating row nearer to its max_new_tokens
        steps: dict[int, Row] = {}
        for index, result in _round(engine, waiting):
            if isinstance(result, Step):
                steps[index] = result.row
            else:
                results[index] = result
        waiting = steps
    outputs = join([results[index] for index in range(len(rows))], rows)
    return ModelOutput(outputs, {"queue": 0.0, "infer": time.perf_counter() - started_s})


def _round(engine: Engine, rows: Mapping[int, Row]) -> Iterator[tuple[int, RowResult]]:
    """Put all rows through one pass each, in lanes where that is sooner; yield their results by index."""
    sizes = {index: row.n_tokens for index, row in rows.items()}
    budget_tokens = engine.model.token_budget
    if not divides(sum(sizes.values()), max(sizes.values()), engine.n_parallel):
        for batch in _batches(rows, budget_tokens):
            yield from zip(batch, engine.forward([rows[index] for index in batch]), strict=True)
        return
    parts = parts_of(sizes, engine.n_parallel, max(1, budget_tokens // engine.n_parallel))
    with one_core_each(engine.n_parallel) as lanes:
        answers = lanes.map(lambda part: engine.forward([rows[index] for index in part]), parts)
        for part, results in zip(parts, answers, strict=True):
            yield from zip(part, results, strict=True)


def _batches(rows: Mapping[int, Row], budget_tokens: int) -> Iterator[list[int]]:
    """Yield indices of rows by length, at most `budget_tokens` a batch, at least one row."""
    batch: list[int] = []
    held_tokens = 0
    for index in sorted(rows, key=lambda i: rows[i].n_tokens):
        if batch and held_tokens + rows[index].n_tokens > budget_tokens:
            yield batch
            batch, held_tokens = [], 0
        batch.append(index)
        held_tokens += rows[index].n_tokens
    if batch:
        yield batch


def _check_agreement(model: Model, family: Family, config: Any) -> None:
    """Raise CheckpointError where catalog and checkpoint disagree about what a row may be."""
    if model.family != family.FAMILY:
        raise CheckpointError(f"the checkpoint of {model.name} is of family {family.FAMILY}, not {model.family}")
    said = {"vocab_size": model.vocab_size, "pad_id": model.pad_id, "causal": model.causal}
    found = {
        "vocab_size": family.vocab_size(config),
        "pad_id": family.pad_id(config),
        "causal": family.is_causal(config),
    }
    if said != found:
        raise CheckpointError(f"the checkpoint of {model.name} has {found}, the catalog says {said}")
    if model.max_tokens > family.max_tokens(config):
        raise CheckpointError(
            f"the catalog gives {model.name} {model.max_tokens} tokens a row, "
            f"the checkpoint takes at most {family.max_tokens(config)}"
        )


def _best_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"
