"""Layers in one call give the same bits as the same layers one by one, for every kind of pass."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from serve.kernels.cpu.attention import attention_of
from serve.kernels.cpu.fused_layers import FusedLayers, fuse_layers
from serve.kernels.cpu.int8_products import Int8KernelLinear, int8_product_of
from serve.kernels.cpu.layer_norm import KernelNorm, norm_call
from serve.kernels.cpu.library import Variant, variant_here
from serve.kernels.cpu.products import KernelLinear, product_of
from serve.layers.attention import Attention, attend_products
from serve.layers.linear import Activate
from serve.layers.parts import ModelParts
from serve.models.post_norm import PostNorm, PostNormShape, PostNormTensors
from serve.rows.pack import Pack, pack_rows
from serve.rows.row import Row
from tests.unit.serve.kernels.cpu.each_variant import each_variant, library_of

CPU = torch.device("cpu")
WIDTH, INNER, HEADS, EPS = 64, 96, 2, 1e-5
GUARD, POISON = 64, 0xA5
ROWS = st.lists(st.integers(1, 40), min_size=1, max_size=5)


def drawn(*shape: int) -> Tensor:
    """Draw a tensor whose products keep their size."""
    return (torch.randn(*shape) / shape[-1] ** 0.5).bfloat16()


def parts_of(variant: Variant) -> ModelParts:
    """Return makers that use a kernel for every part of a layer."""
    multiply = product_of(library_of(variant))
    return ModelParts(
        attend=attention_of(library_of(variant)),
        linear=lambda _, weight, bias: KernelLinear(multiply, weight, bias),
        norm=partial(KernelNorm, norm_call(library_of(variant))),
    )


def int8_parts_of(variant: Variant) -> ModelParts:
    """Return makers with int8 linear layers; the others are those of `parts_of`."""
    multiply = int8_product_of(library_of(variant))
    if multiply is None:
        pytest.skip("no int8 product in this variant")
    return replace(parts_of(variant), linear=lambda _, *own: Int8KernelLinear(multiply, *own))


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


def fused(layers: Sequence[PostNorm]) -> FusedLayers:
    """Return the layers as one function. The kernels must support them."""
    shape = layers[0].shape
    found = fuse_layers(layers, shape.attention, shape.n_heads, shape.activate)
    assert found is not None
    return found


def pack_of(lengths: Sequence[int]) -> Pack:
    """Return a pack of rows of these lengths."""
    rows = [Row(torch.zeros(length, dtype=torch.int32), "topic") for length in lengths]
    return pack_rows(dict(enumerate(rows)), CPU)


def one_by_one(layers: Sequence[PostNorm], states: Tensor, pack: Pack) -> Tensor:
    """Return the states after all layers, which run one by one."""
    for layer in layers:
        states = layer(states, pack, None)
    return states


needs_kernels = pytest.mark.skipif(variant_here() is None, reason="torch's own products are used on this processor")


@needs_kernels
@settings(deadline=None, max_examples=40)
@pytest.mark.parametrize("make", [parts_of, int8_parts_of])
@given(ROWS, st.booleans(), st.sampled_from((F.gelu, F.relu)), st.integers(1, 3), st.sampled_from((32, 96, 256)))
def test_one_call_gives_the_bits_of_many(
    make: Callable[[Variant], ModelParts],
    lengths: list[int],
    causal: bool,  # noqa: FBT001 - hypothesis passes it by position
    activate: Activate,
    n_threads: int,
    inner: int,
) -> None:
    """The bits are the same for rows of any length, in bfloat16 and int8, causal or not, on any number of threads."""
    variant = variant_here()
    assert variant is not None
    layers, pack = layers_of(make(variant), causal=causal, activate=activate, inner=inner), pack_of(lengths)
    states, before = drawn(sum(lengths), WIDTH), torch.get_num_threads()
    kept, stops = states.clone(), list[None]()
    torch.set_num_threads(n_threads)
    try:
        found = fused(layers)(states, pack.spans)
        halted = fused(layers)(states, pack.spans, lambda: stops.append(None))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found, one_by_one(layers, states, pack))
    assert torch.equal(found, halted)
    assert len(stops) == len(layers) - 1
    assert torch.equal(states, kept)


MANY = [
    3,
    500,
    *range(1, 60),
]  # 2,273 tokens: each of two threads takes some of its own, three threads share each product


@needs_kernels
@pytest.mark.parametrize("make", [parts_of, int8_parts_of])
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
    """Large passes, in which threads take tokens through whole layers, give the same bits and stay in their memory."""
    variant = variant_here()
    assert variant is not None
    layers, pack = layers_of(make(variant), n_layers=2), pack_of(lengths)
    states, before = drawn(sum(lengths), WIDTH), torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        own = fused(layers)
        found = own(states, pack.spans)
        guarded = replace(own, call=partial(guard, own.call))(states, pack.spans)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found, one_by_one(layers, states, pack))
    assert torch.equal(found, guarded)


def guard(call: Callable[..., None], *given: int) -> None:
    """Call the kernel with guard bytes around its output, intermediate tensors and scratch. They must not change."""
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
        fused(layers_of(parts_of(variant)))(states, pack_of([4, 5]).spans)


def plain_linear(_: str, weight: Tensor, bias: Tensor | None) -> nn.Module:
    """Make a linear layer that no kernel computes."""
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
    """If one linear layer, a norm or the attention is torch's, the layers run one by one."""
    layers = layers_of(change(parts_of(variant)))
    assert fuse_layers(layers, layers[0].shape.attention, HEADS, F.gelu) is None


@each_variant
def test_another_activation_stays_apart(variant: Variant) -> None:
    """With an activation that the kernel does not support, the layers run one by one."""
    layers = layers_of(parts_of(variant), activate=torch.tanh)
    assert fuse_layers(layers, layers[0].shape.attention, HEADS, torch.tanh) is None
