"""Compares our packed engine with transformers and with the limit of the device, on a GPU.

    python -m benchmarks.gpu [--size large xl] [--json] [--quick]

Needs only torch, transformers and this repository. The backbones have real size and random weights, and the rows are
those of the committed workload. All runs in bfloat16; XL also with fp8 layers where torchao is installed. Ours packs
rows, and attention is one call of variable length. transformers runs `sdpa` on batches padded to their longest row, as
given and sorted by length. `--tiny` runs a toy model on any device: that shows that the code runs, and its figures mean
nothing.
"""

from __future__ import annotations

import gc
import json
import statistics
import sys
import time
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer
from torch import Tensor

if find_spec("pydantic") is None:  # the engine imports the catalog's types, but this script makes none of them

    class _Declared:
        """Accepts any class keyword, as pydantic's BaseModel does."""

        def __init_subclass__(cls, **_: object) -> None: ...

    _stand_in: Any = types.ModuleType("pydantic")
    _stand_in.BaseModel, _stand_in.ConfigDict, _stand_in.ValidationError = _Declared, dict, ValueError
    _stand_in.Field = lambda default=None, **_: default
    _stand_in.model_validator = lambda **_: lambda method: method
    sys.modules["pydantic"] = _stand_in

from benchmarks import ROOT
from benchmarks.inputs.checkpoints import config_of
from benchmarks.inputs.workload import TOKENIZER
from benchmarks.reporting.hardware_limit import flop_per_token
from benchmarks.reporting.machine import describe_machine
from benchmarks.reporting.report import (
    CANNOT_RUN,
    Goal,
    Report,
    Row,
    at_least,
    at_most,
    finish,
    options,
    progress,
    row_of,
)
from serve.engine.attention_choice import attention_for
from serve.engine.quantize import torchao_fp8
from serve.layers.parts import ModelParts
from serve.models.registry import FAMILIES
from serve.rows.pack import Pack, pack_rows
from serve.rows.row import row_of as engine_row

BUDGET_TOKENS = 32_768  # the tokens of a full batch
BATCH_ROWS = (32, 128)
SHARES = {"large": 0.5, "xl": 0.6}  # of the limit, with full batches
TIMES = 2.5  # the speed of transformers with sdpa, sorted
SAME = 2e-2  # the largest |delta| / |reference|, both in bfloat16
N_PRODUCTS, N_ROUNDS, N_QUICK_ROUNDS, N_QUICK_ROWS = 20, 5, 2, 128
TINY = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}

Pass = Callable[[], list[Tensor]]


def main() -> int:
    """Measure each size. Return 2 when there is no GPU."""
    parser = options(__doc__)
    parser.add_argument("--size", nargs="+", choices=SHARES, default=list(SHARES))
    parser.add_argument(
        "--tiny", action="store_true", help="run a toy model on any device: shows that it runs, not how fast"
    )
    chosen = parser.parse_args()
    if not torch.cuda.is_available() and not chosen.tiny:
        progress("got no CUDA device, expected one: nothing was measured (--tiny runs a toy model on a CPU)")
        return CANNOT_RUN
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    progress(f"{torch.cuda.get_device_name() if device.type == 'cuda' else 'cpu'}; {describe_machine()}")
    quick = chosen.quick or chosen.tiny
    return finish([_measure(size, device, quick=quick, tiny=chosen.tiny) for size in chosen.size], as_json=chosen.json)


@torch.inference_mode()
def _measure(size: str, device: torch.device, *, quick: bool, tiny: bool) -> Report:
    config = config_of(size)
    if tiny:
        config.update({**TINY, "vocab_size": 1000})
    reference = _reference(config, device)
    rows = _rows(config.vocab_size)[:: 16 if tiny else 1][: N_QUICK_ROWS if quick else None]
    systems: dict[str, Pass] = {"glossa bfloat16": _ours(config, reference, rows, device)}
    if size == "xl" and device.type == "cuda" and find_spec("torchao") is not None:
        systems["glossa fp8"] = _ours(config, reference, rows, device, fp8=True)
    for n_rows in BATCH_ROWS:
        systems[f"transformers padded {n_rows}"] = _theirs(reference, rows, n_rows, device, ordered=False)
        systems[f"transformers sorted {n_rows}"] = _theirs(reference, rows, n_rows, device, ordered=True)
    distance = _distance(systems["glossa bfloat16"](), systems[f"transformers sorted {BATCH_ROWS[0]}"]())
    n_tokens = sum(map(len, rows))
    rates: dict[str, list[float]] = {}
    peaks: dict[str, float] = {}
    for number in range(N_QUICK_ROUNDS if quick else N_ROUNDS):
        for name, one_pass in systems.items():
            seconds, peaks[name] = _timed(one_pass, device)
            rates.setdefault(name, []).append(n_tokens / seconds)
        progress(f"  {size}: round {number + 1}")
    limit = _peak_flops(config, device) / flop_per_token(config)
    return _report(size, rates, peaks, limit, distance, graphed=_lone_row(config, reference, rows[0], device))


def _reference(config: Any, device: torch.device) -> Any:
    """Return the backbone of transformers with random weights in bfloat16."""
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    try:
        with device:
            made = getattr(transformers, type(config).__name__.removesuffix("Config") + "Model")
            return made._from_config(config, attn_implementation="sdpa", add_pooling_layer=False).eval()  # noqa: SLF001 - the only constructor that takes the attention
    finally:
        torch.set_default_dtype(torch.float32)


def _ours(
    config: Any, reference: Any, rows: Sequence[Sequence[int]], device: torch.device, *, fp8: bool = False
) -> Pass:
    """Return a pass of our encoder over all rows in full batches, with the tensors of the reference."""
    encoder = _encoder(config, reference, device, fp8=fp8)
    batches = [pack_rows({i: engine_row(rows[i], "bench") for i in batch}, device) for batch in _full_batches(rows)]

    def one_pass() -> list[Tensor]:
        means: dict[int, Tensor] = {}
        for pack in batches:
            means |= zip(pack.order, _means(encoder(pack), pack), strict=True)
        return [means[i] for i in range(len(rows))]

    return one_pass


def _encoder(config: Any, reference: Any, device: torch.device, *, fp8: bool = False) -> Any:
    parts = ModelParts(attend=attention_for(device, torch.bfloat16, config.hidden_size // config.num_attention_heads))
    if fp8:
        make = parts.linear
        parts = replace(parts, linear=lambda *given: torchao_fp8(make(*given)))  # type: ignore[arg-type] # it makes nn.Linear
    return FAMILIES[config.model_type].build_encoder(config, reference.state_dict(), parts)


def _means(states: Tensor, pack: Pack) -> Tensor:
    sums = states.new_zeros(len(pack.rows), states.shape[1], dtype=torch.float32)
    sums.index_add_(0, pack.spans.row_of_token, states.float())
    return sums / pack.spans.cumulative_lengths.diff()[:, None]


def _theirs(reference: Any, rows: Sequence[Sequence[int]], n_rows: int, device: torch.device, *, ordered: bool) -> Pass:
    """Return a pass of the reference over all rows in padded batches of `n_rows`."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i])) if ordered else list(range(len(rows)))
    batches = []
    for first in range(0, len(order), n_rows):
        chosen = order[first : first + n_rows]
        width = max(len(rows[i]) for i in chosen)
        ids = torch.tensor([[*rows[i], *[1] * (width - len(rows[i]))] for i in chosen], device=device)
        mask = torch.tensor([[1] * len(rows[i]) + [0] * (width - len(rows[i])) for i in chosen], device=device)
        batches.append((chosen, ids, mask))

    def one_pass() -> list[Tensor]:
        means: dict[int, Tensor] = {}
        for chosen, ids, mask in batches:
            states = reference(input_ids=ids, attention_mask=mask).last_hidden_state.float()
            pooled = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
            means |= zip(chosen, pooled, strict=True)
        return [means[i] for i in range(len(rows))]

    return one_pass


def _lone_row(config: Any, reference: Any, row: Sequence[int], device: torch.device) -> tuple[float, float] | None:
    """Return the milliseconds of one row, kernel by kernel and as one CUDA graph. None without CUDA."""
    if device.type != "cuda":
        return None
    encoder = _encoder(config, reference, device)
    pack = pack_rows({0: engine_row(row, "bench")}, device)
    for _ in range(3):
        encoder(pack)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        encoder(pack)
    plain, _ = _timed(lambda: encoder(pack), device)
    graphed, _ = _timed(graph.replay, device)
    return 1000 * plain, 1000 * graphed


def _full_batches(rows: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    batch: list[int] = []
    held = 0
    for index in sorted(range(len(rows)), key=lambda i: len(rows[i])):
        if batch and held + len(rows[index]) > BUDGET_TOKENS:
            yield batch
            batch, held = [], 0
        batch.append(index)
        held += len(rows[index])
    yield batch


def _timed(one_pass: Callable[[], object], device: torch.device) -> tuple[float, float]:
    """Return the seconds of a pass after a warm-up pass, and its peak memory on the device in MiB."""
    one_pass()
    if device.type != "cuda":
        began_s = time.perf_counter()
        one_pass()
        return time.perf_counter() - began_s, 0.0
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    began_s = time.perf_counter()
    one_pass()
    torch.cuda.synchronize()
    return time.perf_counter() - began_s, torch.cuda.max_memory_allocated() / 2**20


def _peak_flops(config: Any, device: torch.device) -> float:
    """Return the best FLOP/s of bfloat16 products at the widths of the model."""
    width, inner = config.hidden_size, config.intermediate_size
    best = 0.0
    for n_in, n_out in ((width, inner), (inner, width)):
        states = torch.randn(BUDGET_TOKENS if device.type == "cuda" else 256, n_in, device=device).bfloat16()
        weight = torch.randn(n_out, n_in, device=device).bfloat16()
        for _ in range(N_PRODUCTS):
            seconds, _ = _timed(lambda: states @ weight.T, device)  # noqa: B023 - it is called at once
            best = max(best, 2.0 * len(states) * n_in * n_out / seconds)
    gc.collect()
    return best


def _rows(vocab_size: int) -> list[list[int]]:
    """Return the rows of the committed mix: ids of the tokenizer of the workloads, spread over the vocabulary."""
    encode = Tokenizer.from_file(str(TOKENIZER)).encode
    lines = (ROOT / "benchmarks" / "workloads" / "sib-mix.jsonl").read_text(encoding="utf-8").splitlines()
    encoded = [encode(json.loads(line), add_special_tokens=False).ids[:510] for line in lines]
    return [[0, *(4 + i * 7919 % (vocab_size - 5) for i in ids), 2] for ids in encoded]


def _distance(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> float:
    exact = torch.stack([row.float() for row in theirs])
    return float((torch.stack([row.float() for row in ours]) - exact).norm() / exact.norm())


def _report(
    size: str,
    rates: dict[str, list[float]],
    peaks: dict[str, float],
    limit: float,
    distance: float,
    graphed: tuple[float, float] | None,
) -> Report:
    rows: list[Row] = [row_of(name, "tokens/s", found) for name, found in rates.items()]
    rows += [row_of(name, "peak MiB", [mib]) for name, mib in peaks.items()]
    rows.append(row_of("limit: bf16 matmul peak", "tokens/s", [limit]))
    if graphed is not None:
        rows += [
            row_of("glossa, one row", "ms", [graphed[0]]),
            row_of("glossa, one row, CUDA graph", "ms", [graphed[1]]),
        ]
    ours = statistics.median(rates["glossa bfloat16"])
    best = max(statistics.median(found) for name, found in rates.items() if "sorted" in name)
    goals: list[Goal] = [
        at_least("share of the limit", ours / limit, SHARES[size]),
        at_least("times transformers sorted, its best batch", ours / best, TIMES),
        at_most("distance to transformers, both in bfloat16", distance, SAME),
    ]
    return Report("gpu", size, tuple(rows), tuple(goals))


if __name__ == "__main__":
    raise SystemExit(main())
