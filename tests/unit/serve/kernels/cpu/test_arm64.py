"""The arm64 kernels under an emulator: right, the same for a row with any batch mates, and chosen by the processor."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from serve.checkpoints.read import CheckpointError
from serve.kernels.compiler import compile_library
from serve.kernels.cpu.arm_features import AT_HWCAP, AT_HWCAP2, arm_features
from serve.kernels.cpu.library import KernelChoice, choice_for, variant_here, variant_of
from serve.kernels.cpu.onednn_int8 import arm_lacks, load_kernel
from serve.kernels.cpu.variants import ARM, AVX2, NATIVE, NEON, NEON_TILES, SOURCES, Variant, all_flags
from tests.arm64.emulated import DRIVER, KERNEL_COMPILERS, PROCESSORS, compile_driver, lacking, run
from tests.unit.serve.kernels.cpu.each_variant import runs_here

OLDER = 1 << 1 | 1 << 8  # asimd, atomics
GRAVITON2, GRAVITON3 = {AT_HWCAP: OLDER | 1 << 20, AT_HWCAP2: 0}, {AT_HWCAP: OLDER, AT_HWCAP2: 1 << 13 | 1 << 14}
emulated = pytest.mark.skipif(bool(lacking()), reason=lacking())
BUGS = {
    "the second column is the first": ("vector_neon_tiles.h", "*second = vzip2q_u32(here, after)", "*second = *first"),
    "a tile begins with another column": ("vector_neon_tiles.h", "LOW_HALVES(x.c, y.c)", "LOW_HALVES(x.d, y.c)"),
    "the rows of a tile change places": (
        "vector_neon_tiles.h",
        "vcombine_u32(vld1_u32(row), vld1_u32(next))",
        "vcombine_u32(vld1_u32(next), vld1_u32(row))",
    ),
    "int8 is rounded down": ("vector_neon_tiles.h", "vcvtnq_u32_f32", "vcvtq_u32_f32"),
    "a transposition forgets rows": ("vector_neon.h", "i + j < n_rows", "i + j + 1 < n_rows"),
}


@emulated
@pytest.mark.parametrize("compiler", KERNEL_COMPILERS)
@pytest.mark.parametrize("variant", PROCESSORS, ids=lambda variant: variant.name)
def test_the_kernels_are_right_on_arm64(variant: Variant, compiler: str, tmp_path: Path) -> None:
    """Each kernel equals double arithmetic within rounding, and a row has the same bits with any batch mates."""
    done = run(compile_driver(variant, tmp_path, kernels_by=compiler), variant)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("bfloat16 and int8" if variant is NEON_TILES else "bfloat16:")
    assert int(done.stdout.split(" checks")[0].split()[-1]) > 10_000


@emulated
@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_in_a_kernel_is_found(bug: str, tmp_path: Path) -> None:
    """Each of these changes makes the checks fail."""
    name, right, wrong = BUGS[bug]
    native = shutil.copytree(NATIVE, tmp_path / "native")
    source = (native / name).read_text()
    assert source.count(right) >= 1
    (native / name).write_text(source.replace(right, wrong))
    done = run(compile_driver(NEON_TILES, tmp_path, native), NEON_TILES)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAILED" in done.stdout


@pytest.mark.skipif(not runs_here(AVX2) or not shutil.which("cc"), reason="needs AVX2 and cc")
def test_the_checks_accept_the_kernels_of_this_processor(tmp_path: Path) -> None:
    """The same program runs without an emulator on the kernels that the other tests compare with torch."""
    program = tmp_path / "driver"
    command = ["cc", "-O1", "-std=c11", *all_flags(AVX2), f"-I{NATIVE}", *map(str, (*DRIVER, *SOURCES))]
    subprocess.run([*command, "-lm", "-o", str(program)], check=True)
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("variant", [NEON, NEON_TILES], ids=lambda variant: variant.name)
def test_a_library_for_arm64_needs_no_other_library(variant: Variant, tmp_path: Path) -> None:
    """What a replica loads is a shared library for arm64 with our functions, and int8 products where they exist."""
    out = tmp_path / "kernels.so"
    if not compile_library(SOURCES, out, ARM, all_flags(variant)):
        pytest.skip("no compiler for arm64")
    data = out.read_bytes()
    assert data[:4] == b"\x7fELF"
    assert data[18] == 183  # the number of the machine type, EM_AARCH64
    assert b"glossa_layers" in data
    assert (b"glossa_multiply_int8" in data) is (variant is NEON_TILES)
    assert b"__aarch64_" not in data, "an atomic operation calls libgcc"


@pytest.mark.parametrize(
    ("auxiliary", "torch_has_bf16", "chosen"),
    [
        (GRAVITON3, True, NEON_TILES),
        (GRAVITON3, False, NEON_TILES),
        (GRAVITON2, False, NEON),
        (GRAVITON2, True, None),
        ({AT_HWCAP: 0, AT_HWCAP2: 0}, False, None),
    ],
)  # fmt: skip
def test_an_arm64_processor_chooses(
    auxiliary: dict[int, int],
    torch_has_bf16: bool,  # noqa: FBT001 - pytest passes it by name
    chosen: Variant | None,
) -> None:
    """BF16 with I8MM takes their products. Others take NEON, unless torch has bfloat16 products of its own."""
    assert variant_of(arm_features(auxiliary.__getitem__), torch_has_bf16=torch_has_bf16) is chosen


def test_features_have_the_names_of_linux() -> None:
    """The bits of the auxiliary vector become the names of /proc/cpuinfo; this process has such a vector as well."""
    assert arm_features(GRAVITON3.__getitem__) == {"asimd", "atomics", "bf16", "i8mm"}
    assert arm_features(GRAVITON2.__getitem__) == {"asimd", "atomics", "asimddp"}
    assert arm_features() <= {"asimd", "atomics", "asimddp", "bf16", "i8mm"}


def test_int8_on_arm64_says_what_it_lacks() -> None:
    """Without I8MM there is no int8 product. There is none around oneDNN's either, and the error says what to do."""
    assert arm_lacks(arm_features(GRAVITON3.__getitem__)) == ""
    assert arm_lacks(arm_features(GRAVITON2.__getitem__)) == (
        "got a processor (aarch64) without bf16, i8mm, expected one with them"
    )
    with pytest.raises(CheckpointError, match=r"for aarch64, expected weights \[multiple of 32, multiple of 32\]"):
        load_kernel(ARM)


def test_the_choice_is_told() -> None:
    """bfloat16 on a CPU tells the variant that this machine chose. Every other dtype and device tells none."""
    variant = variant_here()
    expected = "none" if variant is None else variant.name
    assert choice_for(torch.device("cpu"), torch.bfloat16).variant == expected
    assert choice_for(torch.device("cpu"), torch.float32) == KernelChoice("none", prebuilt=False)
    assert choice_for(torch.device("cuda"), torch.bfloat16) == KernelChoice("none", prebuilt=False)
