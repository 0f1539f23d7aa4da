"""Compares our packed engine with transformers and with the limit of the device, on a GPU.

    python -m benchmarks.gpu [--size large xl] [--json] [--quick]

Needs only torch, transformers and this repository. It has never run on a GPU; tests run it at toy size on a CPU.
The backbones have real size and random weights, and the rows are those of the committed workload. Ours packs rows, and
attention is one call of variable length. It runs in bfloat16, with GELU (and LayerNorm, but in XL) fused by
`torch.compile`, and with fp8 layers where torchao and the device have them. Packs of 1, 4 and 8 rows also run as CUDA
graphs. transformers runs `sdpa` on batches padded to their longest row, as given and sorted by length. Then
benchmarks.parity.on_gpu compares every precision at the same size. What did not run is named. `--tiny` runs a toy model
on any device: that shows that the code runs, and its figures mean nothing.
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
from functools import partial
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
from benchmarks.parity.on_gpu import PRECISIONS, lacking, lines
from benchmarks.parity.table import Tally, head, show
from benchmarks.reporting.hardware_limit import flop_per_token
from benchmarks.reporting.machine import describe_machine
from benchmarks.reporting.report import CANNOT_RUN, Report, Row, at_least, at_most, finish, options, progress, row_of
from serve.engine.attention_choice import attention_for
from serve.engine.quantize import torchao_fp8
from serve.layers.norms import norm_of
from serve.layers.parts import ModelParts
from serve.models.registry import FAMILIES
from serve.rows.pack import Pack, pack_rows
from serve.rows.row import row_of as engine_row

BUDGET_TOKENS = 32_768  # the tokens of a full batch
BATCH_ROWS = (32, 128)
SHARES = {"large": 0.5, "xl": 0.6}  # of the limit, with full batches
TIMES = 2.5  # the speed of transformers with sdpa, sorted
SAME = 2e-2  # the largest |delta| / |reference|, both in bfloat16
SMALL_PACKS = (1, 4, 8)  # rows
BFLOAT16 = "glossa bfloat16"
N_PRODUCTS, N_ROUNDS, N_QUICK_ROUNDS, N_QUICK_ROWS = 20, 5, 2, 128
TINY = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}

Pass = Callable[[], list[Tensor]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure each size. Return 2 when there is no GPU."""
    parser = options(__doc__)
    parser.add_argument("--size", nargs="+", choices=SHARES, default=list(SHARES))
    parser.add_argument("--tiny", action="store_true", help="run a toy model on any device: no figure means anything")
    chosen = parser.parse_args(arguments)
    if not torch.cuda.is_available() and not chosen.tiny:
        progress("got no CUDA device, expected one: nothing was measured (--tiny runs a toy model on a CPU)")
        return CANNOT_RUN
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    progress(f"{torch.cuda.get_device_name() if device.type == 'cuda' else 'cpu'}; {describe_machine()}")
    quick = chosen.quick or chosen.tiny
    tally = Tally()
    reports = [_measure(size, device, tally, quick=quick, tiny=chosen.tiny) for size in chosen.size]
    progress(f"parity: {tally}")
    return max(finish(reports, as_json=chosen.json), int(tally.n_failed > 0))


@torch.inference_mode()
def _measure(size: str, device: torch.device, tally: Tally, *, quick: bool, tiny: bool) -> Report:
    config = config_of(size)
    if tiny:
        config.update({**TINY, "vocab_size": 1000})
    reference = _reference(config, device)
    rows = _rows(config.vocab_size)[:: 16 if tiny else 1][: N_QUICK_ROWS if quick else None]
    systems: dict[str, Pass] = {BFLOAT16: _ours(config, reference, rows, device)}
    systems[f"{BFLOAT16}, compiled"] = _ours(config, reference, rows, device, compiled=True)
    if why := lacking(PRECISIONS[-1], config, device):
        progress(f"  {size}: did not run: fp8: {why}")
    else:
        systems["glossa fp8"] = _ours(config, reference, rows, device, fp8=True, compiled=True)
    for n_rows in BATCH_ROWS:
        for name, ordered in (("padded", False), ("sorted", True)):
            systems[f"transformers {name} {n_rows}"] = _theirs(reference, rows, n_rows, device, ordered=ordered)
    exact = systems[f"transformers sorted {BATCH_ROWS[0]}"]()
    distance = max(_distance(one_pass(), exact) for name, one_pass in systems.items() if name.startswith(BFLOAT16))
    n_tokens = sum(map(len, rows))
    rates: dict[str, list[float]] = {}
    peaks: dict[str, float] = {}
    for number in range(N_QUICK_ROUNDS if quick else N_ROUNDS):
        for name, one_pass in systems.items():
            seconds, peaks[name] = _timed(one_pass, device)
            rates.setdefault(name, []).append(n_tokens / seconds)
        progress(f"  {size}: round {number + 1}")
    limit = _peak_flops(config, device) / flop_per_token(config)
    graphed = _small_packs(size, _encoder(config, reference, device), rows, device)
    systems.clear()  # their weights make room for the references of the comparisons
    progress(head())
    show(lines(size, reference, rows, device), tally, progress)
    return _report(size, rates, peaks, limit, distance, graphed)


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


def _ours(config: Any, reference: Any, rows: Sequence[Sequence[int]], device: torch.device, **how: bool) -> Pass:
    """Return a pass of our encoder over all rows in full batches, with the tensors of the reference."""
    encoder = _encoder(config, reference, device, **how)
    batches = [pack_rows({i: engine_row(rows[i], "bench") for i in batch}, device) for batch in _full_batches(rows)]

    def one_pass() -> list[Tensor]:
        means: dict[int, Tensor] = {}
        for pack in batches:
            means |= zip(pack.order, _means(encoder(pack), pack), strict=True)
        return [means[i] for i in range(len(rows))]

    return one_pass


def _encoder(config: Any, reference: Any, device: torch.device, *, fp8: bool = False, compiled: bool = False) -> Any:
    parts = ModelParts(attend=attention_for(device, torch.bfloat16, config.hidden_size // config.num_attention_heads))
    if fp8:
        make = parts.linear
        parts = replace(parts, linear=lambda *given: torchao_fp8(make(*given)))  # type: ignore[arg-type] # it makes nn.Linear
    if compiled:
        fuse: Any = partial(torch.compile, dynamic=True, backend="inductor" if device.type == "cuda" else "eager")
        parts = replace(parts, activate=fuse(parts.activate), norm=lambda *given: fuse(norm_of(*given)))
    return FAMILIES[config.model_type].build_encoder(config, reference.state_dict(), parts)


def _means(states: Tensor, pack: Pack) -> Tensor:
    sums = states.new_zeros(len(pack.rows), states.shape[1], dtype=torch.float32)
    return sums.index_add_(0, pack.spans.row_of_token, states.float()) / pack.spans.cumulative_lengths.diff()[:, None]


def _theirs(reference: Any, rows: Sequence[Sequence[int]], n_rows: int, device: torch.device, *, ordered: bool) -> Pass:
    """Return a pass of the reference over all rows in padded batches of `n_rows`."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]) if ordered else 0)  # sorting keeps equal ones in place
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


def _small_packs(
    size: str, encoder: Any, rows: Sequence[Sequence[int]], device: torch.device
) -> dict[int, tuple[float, float]]:
    """Return the milliseconds of packs with few rows, kernel by kernel and as one CUDA graph. Nothing without CUDA."""
    if device.type != "cuda":
        progress(f"  {size}: did not run: CUDA graphs: got device {device.type}, expected cuda")
        return {}
    found = {}  # by rows
    for n_rows in SMALL_PACKS:
        pack = pack_rows({i: engine_row(row, "bench") for i, row in enumerate(rows[:n_rows])}, device)
        for _ in range(3):
            encoder(pack)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            encoder(pack)
        plain, _ = _timed(partial(encoder, pack), device)
        graphed, _ = _timed(graph.replay, device)
        found[n_rows] = (1000 * plain, 1000 * graphed)
    return found


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
    best, widths = 0.0, (config.hidden_size, config.intermediate_size)
    for n_in, n_out in (widths, widths[::-1]):
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
    graphed: dict[int, tuple[float, float]],
) -> Report:
    rows: list[Row] = [row_of(name, "tokens/s", found) for name, found in rates.items()]
    rows += [row_of(name, "peak MiB", [mib]) for name, mib in peaks.items()]
    rows += [row_of("limit: bf16 matmul peak", "tokens/s", [limit])]
    for n_rows, (plain, graph) in graphed.items():
        rows.append(row_of(f"glossa, a pack of {n_rows}", "ms", [plain]))
        rows.append(row_of(f"glossa, a pack of {n_rows}, CUDA graph", "ms", [graph]))
    ours = max(statistics.median(found) for name, found in rates.items() if name.startswith(BFLOAT16))
    best = max(statistics.median(found) for name, found in rates.items() if "sorted" in name)
    goals = (
        at_least("share of the limit", ours / limit, SHARES[size]),
        at_least("times transformers sorted, its best batch", ours / best, TIMES),
        at_most("distance to transformers, both in bfloat16", distance, SAME),
    )
    return Report("gpu", size, tuple(rows), goals)


if __name__ == "__main__":
    raise SystemExit(main())
