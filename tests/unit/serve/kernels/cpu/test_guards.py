"""What C will read is checked before it reads: spans, ids, tables, states, weights; by every face of the kernels."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import replace
from itertools import accumulate
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from serve.kernels.cpu.attention import KernelAttention
from serve.kernels.cpu.decoder import KernelScores
from serve.kernels.cpu.embeddings import KernelEmbeddings
from serve.kernels.cpu.fused_layers import FusedLayers, _Backbone
from serve.kernels.cpu.guards import check_ids, check_spans, check_states
from serve.kernels.cpu.int8_products import Int8KernelLinear
from serve.kernels.cpu.layer_norm import KernelNorm
from serve.kernels.cpu.onednn_int8 import Int8Linear
from serve.kernels.cpu.products import KernelLinear
from serve.layers.embeddings import EmbeddingTables
from serve.layers.linear import FusedLinear
from serve.rows.pack import Pack, Spans, pack_rows, spans_of
from serve.rows.row import Row
from tests.house.tree import Source, made_up, sources

CPU, META = torch.device("cpu"), torch.device("meta")
WIDTH, WORDS, POSITIONS, TYPES, PAD = 32, 50, 40, 2, 1
DTYPES = (torch.bfloat16, torch.float32, torch.float16, torch.int32, torch.int64, torch.int16, torch.bool)

lengths_of_rows = st.lists(st.integers(1, 9), min_size=1, max_size=6)


def never(*_: object) -> NoReturn:
    """Stand in for a function of the compiled library that must not be reached."""
    raise AssertionError("C was called")


def with_bounds(spans: Spans, bounds: Iterable[int] | Tensor) -> Spans:
    """Return spans with other bounds."""
    tensor = bounds if isinstance(bounds, Tensor) else torch.tensor(list(bounds), dtype=torch.int32)
    return replace(spans, cumulative_lengths=tensor)


@given(lengths_of_rows, st.data())
def test_spans_that_lie_are_refused(lengths: list[int], data: st.DataObject) -> None:
    """True spans pass. One bound that differs, a bound too many or too few, and another number of tokens do not."""
    spans, bounds = spans_of(lengths, CPU), [0, *accumulate(lengths)]
    check_spans(spans, sum(lengths))
    at = data.draw(st.integers(0, len(bounds) - 1))
    by = data.draw(st.integers(-(2**20), 2**20).filter(bool))
    lies = [[*bounds[:at], bounds[at] + by, *bounds[at + 1 :]], bounds[:-1], [*bounds, bounds[-1]], bounds[::-1]]
    for lie in lies:
        with pytest.raises(ValueError, match="got bounds of rows"):
            check_spans(with_bounds(spans, lie), sum(lengths))
    with pytest.raises(ValueError, match="as many as there are states"):
        check_spans(spans, sum(lengths) + by)


@pytest.mark.parametrize(
    "bounds",
    [
        torch.tensor([0, 4, 9]),
        torch.tensor([0.0, 4, 9]),
        torch.tensor([[0, 4, 9]], dtype=torch.int32),
        torch.tensor([0, 7, 4, 7, 9], dtype=torch.int32)[::2],
        torch.tensor([0, 4, 9], dtype=torch.int32, device=META),
    ],
)
def test_bounds_that_c_cannot_read_are_refused(bounds: Tensor) -> None:
    """Another dtype, shape, stride or device would give C other numbers."""
    with pytest.raises(ValueError, match=r"expected contiguous int32 \[rows \+ 1\] on cpu"):
        check_spans(with_bounds(spans_of([4, 5], CPU), bounds), 9)


@pytest.mark.parametrize("lengths", [(), (0,), (4, 0), (5, -1)])
def test_rows_without_tokens_are_refused(lengths: tuple[int, ...]) -> None:
    """There is a row, and each row has a token."""
    spans = with_bounds(replace(spans_of([1], CPU), lengths=lengths), [0, *accumulate(lengths)])
    with pytest.raises(ValueError, match="expected at least one row, and one token in each"):
        check_spans(spans, sum(lengths))


@given(st.lists(st.integers(-4, 14) | st.integers(-(2**31), 2**31 - 1), max_size=8), st.sampled_from(DTYPES))
def test_only_ids_in_range_pass(ids: list[int], dtype: torch.dtype) -> None:
    """Ids pass exactly when they are integers of a dtype that keeps them, and all in range."""
    is_fine = dtype in (torch.int32, torch.int64) and all(-1 <= one < 10 for one in ids)
    tensor = torch.tensor(ids, dtype=torch.int64).to(dtype)
    with nullcontext() if is_fine else pytest.raises(ValueError, match=r"^got token ids? .*, expected "):
        check_ids("token id", tensor, len(ids), 10, least=-1)


@given(st.sampled_from(DTYPES), st.lists(st.integers(0, 3), max_size=3), st.sampled_from([CPU, META]))
def test_only_states_of_the_shape_pass(dtype: torch.dtype, shape: list[int], device: torch.device) -> None:
    """States pass exactly when dtype, shape and device are what the kernel reads."""
    is_fine = dtype == torch.bfloat16 and shape == [2, 3] and device == CPU
    with nullcontext() if is_fine else pytest.raises(ValueError, match=r"expected bfloat16 \[2, 3\] on cpu"):
        check_states(torch.zeros(shape, dtype=dtype, device=device), 2, 3)


def tables(**changed: Any) -> EmbeddingTables:
    """Return tables that fit each other, but for what is changed."""
    fitting = EmbeddingTables(
        nn.Embedding(WORDS, WIDTH, dtype=torch.bfloat16), torch.zeros(POSITIONS, WIDTH), torch.zeros(TYPES, WIDTH),
        torch.ones(WIDTH), torch.zeros(WIDTH), 1e-5, PAD,
    )  # fmt: skip
    return replace(fitting, **changed)


def embeddings(**changed: Any) -> KernelEmbeddings:
    """Return embeddings whose kernel must not be reached."""
    given_tables = tables(**changed)
    return KernelEmbeddings(never, given_tables, given_tables.words.weight.detach())


def pack(**changed: Any) -> Pack:
    """Return a pack of two rows, but for what is changed."""
    rows = {n: Row(torch.arange(n, dtype=torch.int32), "topic") for n in (4, 5)}
    return replace(pack_rows(rows, CPU), **changed)


NINE = torch.arange(9, dtype=torch.int32)


@pytest.mark.parametrize(
    "changed",
    [
        {"ids": NINE.float()},
        {"ids": NINE.to(META)},
        {"ids": NINE[:8]},
        {"ids": NINE.reshape(3, 3)},
        {"ids": NINE - 1},
        {"ids": NINE + WORDS - 8},
        {"ids": NINE.long() + 2**32},  # the low 32 bits are in range
        {"position_ids": NINE.long() - 2},
        {"position_ids": NINE.long() + POSITIONS},
        {"position_ids": NINE.long()[:3]},
        {"token_type_ids": NINE.long()},
        {"token_type_ids": NINE.bool()},
        {"spans": with_bounds(spans_of([4, 5], CPU), [0, 4, 2**20])},
        {"spans": spans_of([4, 6], CPU)},
    ],
)
def test_embeddings_refuse_what_the_kernel_would_misread(changed: dict[str, Any]) -> None:
    """Ids out of range, of another dtype, shape or device, and spans that lie, never reach C."""
    with pytest.raises(ValueError, match=r"^got .*, expected "):
        embeddings()(pack(**changed))


@pytest.mark.parametrize(
    "changed",
    [
        {"positions": torch.zeros(POSITIONS, WIDTH - 16)},
        {"positions": torch.zeros(POSITIONS, WIDTH).double()},
        {"types": torch.zeros(0, WIDTH)},
        {"types": torch.zeros(TYPES, WIDTH, device=META)},
        {"scale": torch.ones(WIDTH - 1)},
        {"shift": torch.ones(WIDTH, dtype=torch.int32)},
        {"pad_id": -2},
        {"pad_id": POSITIONS},
    ],
)
def test_embeddings_refuse_tables_that_do_not_fit(changed: dict[str, Any]) -> None:
    """Tables of another width, dtype or device are refused when the embeddings are made."""
    with pytest.raises(ValueError, match=r"^got .*, expected "):
        embeddings(**changed)


@pytest.mark.parametrize(
    ("qkv", "spans"),
    [
        (torch.zeros(9, 3, 2, 16), spans_of([4, 5], CPU)),
        (torch.zeros(9, 3, 2, 16, dtype=torch.bfloat16, device=META), spans_of([4, 5], CPU)),
        (torch.zeros(9, 3, 32).bfloat16(), spans_of([4, 5], CPU)),
        (torch.zeros(9, 2, 2, 16).bfloat16(), spans_of([4, 5], CPU)),
        (torch.zeros(9, 3, 0, 16).bfloat16(), spans_of([4, 5], CPU)),
        (torch.zeros(9, 3, 2, 20).bfloat16(), spans_of([4, 5], CPU)),
        (torch.zeros(9, 3, 2, 16).bfloat16(), spans_of([4, 4], CPU)),
        (torch.zeros(9, 3, 2, 16).bfloat16(), with_bounds(spans_of([4, 5], CPU), [0, 4, 2**20])),
        (torch.zeros(0, 3, 2, 16).bfloat16(), spans_of([], CPU)),
    ],
)
def test_attention_refuses_what_the_kernel_would_misread(qkv: Tensor, spans: Spans) -> None:
    """States of another shape, dtype or device, and spans that lie, never reach C."""
    with pytest.raises(ValueError, match=r"^got .*, expected "):
        KernelAttention(never, never, 0)(qkv, spans, 0.25, False)


@pytest.mark.parametrize(
    ("states", "spans"),
    [
        (torch.zeros(9, 32), spans_of([4, 5], CPU)),
        (torch.zeros(8, 32).bfloat16(), spans_of([4, 5], CPU)),
        (torch.tensor(0.0).bfloat16(), spans_of([4, 5], CPU)),
        (torch.zeros(9, 32).bfloat16(), with_bounds(spans_of([4, 5], CPU), [0, -4, 9])),
    ],
)
def test_fused_layers_refuse_what_the_kernel_would_misread(states: Tensor, spans: Spans) -> None:
    """The same for all layers in one call."""
    backbone = _Backbone(team=0, heads=2, head_width=16)
    with pytest.raises(ValueError, match=r"^got .*, expected "):
        FusedLayers([], never, never, backbone, (ctypes.c_void_p * 0)())(states, spans)


STATES = [
    torch.zeros(3, 32),
    torch.zeros(3, 31).bfloat16(),
    torch.zeros(32).bfloat16(),
    torch.tensor(0.0).bfloat16(),
    torch.zeros(2, 3, 32).bfloat16(),
    torch.zeros(3, 32, dtype=torch.bfloat16, device=META),
]


@pytest.mark.parametrize("states", STATES)
def test_linear_layers_refuse_what_the_kernel_would_misread(states: Tensor) -> None:
    """Products of both kinds refuse states and residuals of another shape, dtype or device."""
    weight, fine = torch.zeros(32, 32).bfloat16(), torch.zeros(3, 32).bfloat16()
    calls: list[Callable[[FusedLinear], Tensor]] = [
        lambda layer: layer(states),
        lambda layer: layer.activated(states, F.gelu),
        lambda layer: layer.added(states, fine),
        lambda layer: layer.added(fine, states),
    ]
    for made in (KernelLinear(never, weight, None), Int8KernelLinear(never, weight, None)):
        for call in calls:
            with pytest.raises(ValueError, match=r"^got (states|a residual) .*, expected bfloat16 "):
                call(made)


@pytest.mark.parametrize(
    ("weight", "bias"),
    [
        (torch.zeros(32, 32), None),
        (torch.zeros(32).bfloat16(), None),
        (torch.zeros(0, 32).bfloat16(), None),
        (torch.zeros(32, 32, dtype=torch.bfloat16, device=META), None),
        (torch.zeros(32, 32).bfloat16(), torch.zeros(31)),
    ],
)
def test_weights_that_the_kernel_would_misread_are_refused(weight: Tensor, bias: Tensor | None) -> None:
    """A weight of another shape, dtype or device, or a bias of another size, makes no layer."""
    with pytest.raises(ValueError, match=r"^got a (weight|bias) .*, expected "):
        KernelLinear(never, weight, bias)
    if weight.dtype == torch.bfloat16:
        for kind in (lambda *own: Int8KernelLinear(never, *own), Int8Linear):
            with pytest.raises(ValueError, match=r"^got a (weight|bias) .*, expected "):
                kind(weight, bias)


@pytest.mark.parametrize("states", [*STATES[2:], torch.zeros(33), torch.zeros(3, 33, device=META)])
def test_decoders_and_norms_refuse_what_the_kernel_would_misread(states: Tensor) -> None:
    """Scores, sums of scores and norms refuse tensors of another shape, dtype or device."""
    library: Any = SimpleNamespace(glossa_score=lambda *_: never(), glossa_sum_up=lambda *_: never())
    scores = KernelScores(library, nn.Linear(32, 32, dtype=torch.bfloat16))
    for call in (scores, scores.log_sum_exp):
        with pytest.raises(ValueError, match=r"^got .*, expected "):
            call(states)
    with pytest.raises(ValueError, match=r"^got .*, expected "):
        KernelNorm(never, torch.ones(32), torch.zeros(32), 1e-5)(states)


@pytest.mark.parametrize(("scale", "shift"), [(30, 30), (32, 31), (0, 0)])
def test_norms_refuse_factors_that_do_not_fit(scale: int, shift: int) -> None:
    """Weight and bias have one size, a multiple of the vector's width."""
    with pytest.raises(ValueError, match=r"^got a (weight|bias) .*, expected "):
        KernelNorm(never, torch.ones(scale), torch.zeros(shift), 1e-5)


def unguarded(files: Iterable[Source]) -> list[str]:
    """Return the files that hand addresses to C and check nothing."""
    return [file.path for file in files if "data_ptr()" in file.text and "kernels.cpu.guards" not in file.text]


def test_every_face_of_the_kernels_has_guards() -> None:
    """A module that takes the address of a tensor uses the guards. One that does not is found."""
    faces = [file for file in sources("serve") if file.path.startswith("serve/kernels/")]
    assert unguarded(faces) == []
    assert unguarded([made_up("serve/kernels/cpu/a.py", "call(states.data_ptr())")]) == ["serve/kernels/cpu/a.py"]
