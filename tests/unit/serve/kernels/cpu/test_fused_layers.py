"""Layers in one call: bit for bit what the same layers give one by one, whatever a pass is made of."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from serve.engine.engine import PackedEngine, load_engine
from serve.kernels.cpu.attention import attention_of
from serve.kernels.cpu.fused_layers import LayersInOne, layers_in_one
from serve.kernels.cpu.int8_products import KernelBytes, bytes_of
from serve.kernels.cpu.library import AVX512, Variant, variant_here
from serve.kernels.cpu.onednn_int8 import int8_lacks
from serve.kernels.cpu.products import KernelLinear, product_of
from serve.layers.attention import Attention, attend_products
from serve.layers.linear import Activate
from serve.layers.norms import KernelNorm, norm_call
from serve.layers.parts import ModelParts
from serve.models.post_norm import PostNorm, PostNormShape, PostNormTensors
from serve.rows.call_rows import Row, row_of
from serve.rows.generation import Step
from serve.rows.pack import Pack, pack_rows
from shared.catalog import Model
from shared.messages import Sampling
from tests import checkpoints_xlm, judge_xlm
from tests.checkpoints import catalog_model, draw, draw_ids, rounded, write
from tests.checkpoints_xlm import LANGS
from tests.judge import CASES, LENGTHS, judge, judged_model
from tests.unit.serve.kernels.cpu.each_variant import each_variant, library_of

CPU = torch.device("cpu")
WIDTH, INNER, HEADS, EPS = 64, 96, 2, 1e-5
GUARD, POISON = 64, 0xA5
ROWS = st.lists(st.integers(1, 40), min_size=1, max_size=5)


def drawn(*shape: int) -> Tensor:
    """Draw a tensor whose products keep their size."""
    return (torch.randn(*shape) / shape[-1] ** 0.5).bfloat16()


def parts_of(variant: Variant) -> ModelParts:
    """Return what makes kernels of every part of a layer."""
    multiply = product_of(library_of(variant))
    return ModelParts(
        attend=attention_of(library_of(variant)),
        linear=lambda _, weight, bias: KernelLinear(multiply, weight, bias),
        norm=partial(KernelNorm, norm_call(library_of(variant))),
    )


def byte_parts_of(variant: Variant) -> ModelParts:
    """Return what makes Linears in bytes and all else as `parts_of`."""
    multiply = bytes_of(library_of(variant))
    if multiply is None:
        pytest.skip("no bytes in this variant")
    return replace(parts_of(variant), linear=lambda _, *own: KernelBytes(multiply, *own))


def layers_of(
    parts: ModelParts, *, n_layers: int = 3, causal: bool = False, activate: Activate = F.gelu, inner: int = INNER
) -> list[PostNorm]:
    """Draw layers."""
    torch.manual_seed(0)
    shape = PostNormShape(Attention(parts.attend, 0.18, causal), HEADS, activate, EPS)

    def pair(n_out: int, n_in: int) -> tuple[Tensor, Tensor]:
        return drawn(n_out, n_in), drawn(n_out)

    def norm() -> tuple[Tensor, Tensor]:
        return 1 + drawn(WIDTH), drawn(WIDTH)

    return [
        PostNorm(
            index,
            shape,
            PostNormTensors(
                qkv=pair(3 * WIDTH, WIDTH), mix=pair(WIDTH, WIDTH), mix_norm=norm(),
                up=pair(inner, WIDTH), down=pair(WIDTH, inner), down_norm=norm(),
            ),
            parts,
        )
        for index in range(n_layers)
    ]  # fmt: skip


def in_one(layers: Sequence[PostNorm]) -> LayersInOne:
    """Return the layers as one function, which they must be."""
    shape = layers[0].shape
    found = layers_in_one(layers, shape.attention, shape.n_heads, shape.activate)
    assert found is not None
    return found


def pack_of(lengths: Sequence[int]) -> Pack:
    """Return a pack of rows of these lengths."""
    rows = [Row(torch.zeros(length, dtype=torch.int32), "topic") for length in lengths]
    return pack_rows(dict(enumerate(rows)), CPU)


def one_by_one(layers: Sequence[PostNorm], states: Tensor, pack: Pack) -> Tensor:
    """Return the states after each layer in turn."""
    for layer in layers:
        states = layer(states, pack, None)
    return states


needs_kernels = pytest.mark.skipif(variant_here() is None, reason="torch's own products are used on this processor")


@needs_kernels
@settings(deadline=None, max_examples=40)
@pytest.mark.parametrize("make", [parts_of, byte_parts_of])
@given(ROWS, st.booleans(), st.sampled_from((F.gelu, F.relu)), st.integers(1, 3), st.sampled_from((32, 96, 256)))
def test_one_call_gives_the_bits_of_many(
    make: Callable[[Variant], ModelParts],
    lengths: list[int],
    causal: bool,  # noqa: FBT001 - hypothesis passes it by place
    activate: Activate,
    n_threads: int,
    inner: int,
) -> None:
    """Rows of any lengths, in bfloat16 and in bytes, causal or not, on any number of threads; states given stay."""
    variant = variant_here()
    assert variant is not None
    layers, pack = layers_of(make(variant), causal=causal, activate=activate, inner=inner), pack_of(lengths)
    states, before = drawn(sum(lengths), WIDTH), torch.get_num_threads()
    kept, stops = states.clone(), list[None]()
    torch.set_num_threads(n_threads)
    try:
        found = in_one(layers)(states, pack.spans)
        halted = in_one(layers)(states, pack.spans, lambda: stops.append(None))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found, one_by_one(layers, states, pack))
    assert torch.equal(found, halted)
    assert len(stops) == len(layers) - 1
    assert torch.equal(states, kept)


MANY = [3, 500, *range(1, 60)]  # 2,273 tokens: each of two threads takes some of its own, three share each product


@needs_kernels
@pytest.mark.parametrize("make", [parts_of, byte_parts_of])
@pytest.mark.parametrize(
    ("lengths", "n_threads"),
    [
        (MANY, 1),
        (MANY, 2),
        (MANY, 3),
        ([241], 1),
        ([480], 1),
        ([769, 767], 2),
        ([768, 767], 2),
        ([1], 1),
        ([2305], 3),
        ([96] * 20, 2),
    ],
)
def test_tokens_that_threads_take_for_themselves(
    make: Callable[[Variant], ModelParts], lengths: list[int], n_threads: int
) -> None:
    """Large passes, of which a thread takes tokens through whole layers, have the same bits and stay in their rooms."""
    variant = variant_here()
    assert variant is not None
    layers, pack = layers_of(make(variant), n_layers=2), pack_of(lengths)
    states, before = drawn(sum(lengths), WIDTH), torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        own = in_one(layers)
        found = own(states, pack.spans)
        guarded = replace(own, call=partial(guard, own.call))(states, pack.spans)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found, one_by_one(layers, states, pack))
    assert torch.equal(found, guarded)


def guard(call: Callable[..., None], *given: int) -> None:
    """Call the kernel with room between guards, which must stay: for its output, what it works in, and its scratch."""
    (backbone, states, out, bounds, *_), (tokens, _, scratch_bytes, n_threads) = given[:7], given[-4:]
    wanted = (2 * tokens * WIDTH, 6 * tokens * WIDTH, 2 * tokens * WIDTH, scratch_bytes * n_threads)
    rooms = [torch.full((size + 2 * GUARD,), POISON, dtype=torch.uint8) for size in wanted]
    own_out, qkv, contexts, scratch = (room.data_ptr() + GUARD for room in rooms)
    ctypes.memmove(own_out, out, wanted[0])
    call(backbone, states, own_out, bounds, qkv, contexts, scratch, *given[7:])
    assert all((room[:GUARD] == POISON).all() and (room[-GUARD:] == POISON).all() for room in rooms)
    ctypes.memmove(out, own_out, wanted[0])


@needs_kernels
@pytest.mark.parametrize(
    "states", [torch.zeros(9, WIDTH), torch.zeros(8, WIDTH).bfloat16(), torch.zeros(9, 32).bfloat16()]
)
def test_what_it_cannot_read_is_refused(states: Tensor) -> None:
    """Another dtype, number of tokens or width is an error before memory is read."""
    variant = variant_here()
    assert variant is not None
    with pytest.raises(ValueError, match=r"expected bfloat16 \[9, 64\] on cpu"):
        in_one(layers_of(parts_of(variant)))(states, pack_of([4, 5]).spans)


def plain_linear(_: str, weight: Tensor, bias: Tensor | None) -> nn.Module:
    """Make a part that is no kernel's."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    return layer.bfloat16()


@each_variant
@pytest.mark.parametrize(
    "change",
    [
        lambda parts: replace(parts, linear=plain_linear),
        lambda parts: replace(parts, norm=lambda weight, _, eps: nn.LayerNorm(len(weight), eps)),
        lambda parts: replace(parts, attend=attend_products),
    ],
)
def test_one_part_that_is_no_kernels_is_enough(variant: Variant, change: Callable[[ModelParts], ModelParts]) -> None:
    """Where some Linear, norm or the attention is torch's, layers stay apart."""
    layers = layers_of(change(parts_of(variant)))
    assert layers_in_one(layers, layers[0].shape.attention, HEADS, F.gelu) is None


@each_variant
def test_another_activation_stays_apart(variant: Variant) -> None:
    """An activation that the kernel does not have keeps layers apart."""
    layers = layers_of(parts_of(variant), activate=torch.tanh)
    assert layers_in_one(layers, layers[0].shape.attention, HEADS, torch.tanh) is None


FITS: dict[str, Any] = {"hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 128}


def loaded(model: Model, folder: Path) -> PackedEngine:
    """Load a model whose layers are one call, and whose embeddings are if it is of XLM-RoBERTa's family."""
    engine = load_engine(model, folder, device="cpu")
    encoder: Any = engine._encoder
    assert encoder.layers._in_one is not None
    assert model.family == "xlm" or encoder._embed is not None
    return engine


@needs_kernels
@pytest.mark.parametrize("kind", ["XLMRobertaForTokenClassification", "XLMRobertaForMaskedLM", "XLMRobertaForCausalLM"])
def test_models_that_fit_equal_the_reference(kind: str, tmp_path: Path) -> None:
    """Of a model whose sizes the kernels take, rows of 1 to 512 tokens equal the reference, whose rows are alone."""
    reference = rounded(draw(kind, **FITS), torch.bfloat16)
    model = judged_model(kind, write(reference, tmp_path), dtype="bfloat16")
    rows = CASES[kind].rows(draw_ids(LENGTHS))
    verdict = judge(reference, rows, loaded(model, tmp_path).forward(rows), torch.bfloat16)
    assert verdict.ok, verdict


@needs_kernels
@pytest.mark.skipif(bool(int8_lacks(CPU)) or variant_here() is not AVX512, reason="no bytes here")
def test_a_model_in_bytes_is_one_call_too(tmp_path: Path) -> None:
    """Layers in 8 bits of sizes that fit go by one call, and by our own products."""
    folder = write(rounded(draw("XLMRobertaForMaskedLM", **FITS), torch.bfloat16), tmp_path)
    model = judged_model("XLMRobertaForMaskedLM", folder, dtype="bfloat16")
    engine = loaded(model.model_copy(update={"quantization": "onednn-int8"}), tmp_path)
    encoder: Any = engine._encoder
    assert all(isinstance(layer.qkv, KernelBytes) for layer in encoder.layers.layers)


@needs_kernels
@pytest.mark.parametrize("gelu", [True, False])
@pytest.mark.parametrize("causal", [True, False])
def test_so_do_xlms_that_fit(gelu: bool, causal: bool, tmp_path: Path) -> None:  # noqa: FBT001 - pytest passes them by name
    """XLM with either activation, causal or not, with languages, types and positions of rows' own, equals its own."""
    drawn_xlm = checkpoints_xlm.draw(
        "XLMForTokenClassification", emb_dim=64, n_heads=2, gelu_activation=gelu, causal=causal, **LANGS["languages"]
    )
    reference = rounded(drawn_xlm, torch.bfloat16)
    model = catalog_model(write(reference, tmp_path), dtype="bfloat16")
    rows = judge_xlm.rows_for("XLMForTokenClassification", langs=True)
    verdict = judge_xlm.judge(reference, rows, loaded(model, tmp_path).forward(rows), torch.bfloat16)
    assert verdict.ok, verdict


@needs_kernels
def test_a_decoder_with_a_cache_continues_as_in_float32(tmp_path: Path) -> None:
    """A decoder that fits keeps and reads its cache, layer by layer: it writes what its weights write in float32."""
    folder = write(rounded(draw("XLMRobertaForCausalLM", **FITS), torch.bfloat16), tmp_path)
    wide = load_engine(catalog_model(folder, eos_id=500), folder, device="cpu")
    own = loaded(catalog_model(folder, eos_id=500, dtype="bfloat16"), folder)
    rows = [row_of(ids, "lm", sampling=Sampling(max_new_tokens=12)) for ids in draw_ids([5, 30, 12, 7, 19])]
    both = zip(written(wide, rows), written(own, rows), strict=True)
    same = [token == other for one, others in both for token, other in zip(one, others, strict=True)]
    assert sum(same) >= 0.9 * len(same)


def written(engine: PackedEngine, rows: Sequence[Row]) -> list[list[int]]:
    """Return the ids that an engine writes behind each row, all rows in company."""
    waiting, done = {index: engine.begin(row) for index, row in enumerate(rows)}, {}
    while waiting:
        results = engine.forward(list(waiting.values()))
        steps = dict(zip(waiting, results, strict=True))
        waiting = {index: step.row for index, step in steps.items() if isinstance(step, Step)}
        done |= {index: result["ids"].tolist() for index, result in steps.items() if isinstance(result, dict)}
    return [done[index] for index in range(len(rows))]


@needs_kernels
def test_a_row_that_shows_its_layers_changes_no_other(tmp_path: Path) -> None:
    """A pass that is run layer by layer for one row's sake gives the others the bits of a pass in one call."""
    model = catalog_model(write(draw("XLMRobertaModel", **FITS), tmp_path), dtype="bfloat16")
    engine, head = loaded(model, tmp_path), next(iter(model.heads))
    rows = [Row(torch.tensor(ids, dtype=torch.int32), head, per_token=True) for ids in draw_ids([5, 30, 12])]
    alone, beside = engine.forward(rows), engine.forward([*rows, replace(rows[1], layers=(0, 1, 2), attentions=True)])
    for one, other in zip(alone, beside, strict=False):
        assert isinstance(one, dict)
        assert isinstance(other, dict)
        assert torch.equal(one["vectors"], other["vectors"])
