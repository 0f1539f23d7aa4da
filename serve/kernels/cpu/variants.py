"""Which C sources make which library, and with which flags a compiler makes it.

The kernels compute sixteen numbers at a time (native/vector.h). On x86-64 one variant uses AVX512-BF16. The other uses
AVX2, for processors on which torch's bfloat16 product is eight times slower. With AMX the first is used as well, but
oneDNN multiplies by tiles. On arm64 one variant uses the products of BF16 and I8MM (Graviton3 and 4), and the other
plain NEON. This module imports no torch, so that an image can compile the kernels before its packages are installed. It
must not know which processor will run them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

NATIVE = Path(__file__).parent / "native"
SOURCES = tuple(
    NATIVE / f"{name}.c"
    for name in ("attention", "decoder", "embeddings", "fused_layers", "int8_products", "layer_norm", "products")
)
X86, ARM = "x86_64", "aarch64"  # machine types as Linux and compilers name them


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to compile the kernels, for one machine type.

    `flags` are for the compiler. `features` are what they need: in torch's names on x86-64, in Linux's on arm64.
    `multiplies` says whether the linear layers of a model use its products; otherwise oneDNN computes them.
    """

    name: str
    machine: str
    flags: tuple[str, ...]
    features: frozenset[str]
    multiplies: bool = True


AVX512 = Variant(
    "avx512-bf16",
    X86,
    (
        "-mavx512f",
        "-mavx512bw",
        "-mavx512vl",
        "-mavx512dq",
        "-mavx512bf16",
        "-mavx512vnni",
        "-mfma",
        "-mprefer-vector-width=512",
    ),
    frozenset({"avx512_f", "avx512_bw", "avx512_vl", "avx512_dq", "avx512_bf16", "avx512_vnni", "fma3"}),
)  # fmt: skip
AMX = replace(
    AVX512, name="avx512-bf16, onednn-amx", features=AVX512.features | {"amx_bf16"}, multiplies=False
)  # the same library
AVX2 = Variant("avx2", X86, ("-mavx2", "-mfma"), frozenset({"avx2", "fma3"}))
# Without libgcc there are no functions for atomic operations. Vectors of one type read memory that another type wrote.
ARM_FLAGS = ("-mno-outline-atomics", "-fno-strict-aliasing")
NEON_TILES = Variant(
    "neon-bf16-i8mm", ARM, ("-mcpu=generic+bf16+i8mm", *ARM_FLAGS), frozenset({"asimd", "atomics", "bf16", "i8mm"})
)
NEON = Variant("neon", ARM, ("-mcpu=generic", *ARM_FLAGS), frozenset({"asimd"}))
VARIANTS = (AVX512, AVX2, NEON_TILES, NEON)
FUSED_MULTIPLY_ADD = "-ffp-contract=fast"

# the steps around oneDNN's int8 product, which need AVX-512 alone
ONEDNN_INT8_SOURCES = (NATIVE / "onednn_int8.c",)
ONEDNN_INT8_FLAGS = (
    "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mfma", "-mprefer-vector-width=512",
    "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros",
)  # fmt: skip


def all_flags(variant: Variant) -> tuple[str, ...]:
    """Return what the compiler is told for a variant."""
    return (*variant.flags, FUSED_MULTIPLY_ADD)
