"""What all bfloat16 kernels share: compilation, choice by processor, and work on several threads."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable
from pathlib import Path
from threading import Barrier, Thread

import pytest
import torch

from serve.kernels.compiler import compile_library
from serve.kernels.core_team import team_address
from serve.kernels.cpu.attention import attention_of
from serve.kernels.cpu.decoder import score_call, sum_up_call
from serve.kernels.cpu.embeddings import embed_call
from serve.kernels.cpu.int8_products import int8_product_of
from serve.kernels.cpu.layer_norm import norm_call
from serve.kernels.cpu.library import load_kernels, variant_of
from serve.kernels.cpu.products import PLAIN, product_of
from serve.kernels.cpu.variants import AMX, AVX2, AVX512, SOURCES, VARIANTS, Variant, all_flags
from serve.rows.pack import spans_of
from tests.unit.serve.kernels.cpu.each_variant import each_variant, library_of, runs_here

N_THREADS = 3


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_the_kernels_compile_anywhere(variant: Variant, tmp_path: Path) -> None:
    """They compile without a warning for each variant, on every processor."""
    flags = (*all_flags(variant), "-Wall", "-Wextra", "-Werror")
    assert compile_library(SOURCES, tmp_path / "kernels.so", variant.machine, flags)


@pytest.mark.skipif(not runs_here(AVX2), reason="needs AVX2")
def test_a_failed_compilation_is_logged_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """If the compiler fails, the log says so once, and torch computes the same."""
    source = tmp_path / "broken.c"
    source.write_text("not C")
    assert load_kernels(AVX2, (source,)) is None
    assert load_kernels(AVX2, (source,)) is None
    (line,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (line["level"], line["event"]) == ("warning", "kernels-unavailable")
    assert "broken.c could not be compiled" in line["reason"]


@pytest.mark.parametrize(
    ("features", "torch_has_bf16", "chosen"),
    [
        (AVX512.features | AVX2.features, True, AVX512),
        (AVX512.features | AVX2.features | {"amx_bf16"}, True, AMX),
        (AVX2.features, False, AVX2),
        (AVX2.features | {"avx512_f"}, True, None),
        (frozenset({"avx2"}), False, None),
    ],
)
def test_the_processor_chooses(features: frozenset[str], torch_has_bf16: bool, chosen: Variant | None) -> None:  # noqa: FBT001 - pytest passes it by name
    """With AMX oneDNN multiplies, and the kernels do the rest. AVX2 is used if torch has no bfloat16 product."""
    assert variant_of(features, torch_has_bf16=torch_has_bf16) is chosen


def test_the_team_is_torchs() -> None:
    """Work is shared between the threads of torch's OpenMP library."""
    address = team_address()
    mapped = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    homes = [line[-1] for line in mapped if _holds(line[0], address)]
    assert len(homes) == 1
    assert Path(torch.__file__).resolve().parent in Path(homes[0]).parents


def _holds(ends: str, address: int) -> bool:
    begin, end = (int(one, 16) for one in ends.split("-"))
    return begin <= address < end


class CountedTeam:
    """A team of Python threads that start together. It records how often it was called, and for how many threads."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
        self._callback = kind(self._run)
        self.address = ctypes.cast(self._callback, ctypes.c_void_p).value

    def _run(self, work: int, job: int, n_threads: int, _: int) -> None:
        self.asked.append(n_threads)
        each = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(work)
        together = Barrier(n_threads)

        def one() -> None:
            together.wait()
            each(job)

        threads = [Thread(target=one) for _ in range(n_threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def multiplied(variant: Variant, team: int | None) -> torch.Tensor:
    """Return a product of 203 rows, computed by a team."""
    states, weight, bias = torch.randn(203, 64).bfloat16(), torch.randn(5, 32, 32, 2).bfloat16(), torch.randn(160)
    out = torch.zeros(203, 160).bfloat16()
    product_of(library_of(variant))(
        states.data_ptr(), weight.data_ptr(), bias.data_ptr(), 0, out.data_ptr(), team, 203, 160, 64, PLAIN, N_THREADS
    )
    return out


def multiplied_in_int8(variant: Variant, team: int | None) -> torch.Tensor:
    """Return an int8 product of 203 rows, computed by a team."""
    states, scales, bias = torch.randn(203, 64).bfloat16(), torch.rand(160), torch.randn(160)
    weight, offsets = torch.randint(-127, 128, (5, 16, 32, 4), dtype=torch.int8), torch.zeros(160, dtype=torch.int32)
    out, room, multiply = (
        torch.zeros(203, 160).bfloat16(),
        torch.zeros(203 * 68).byte(),
        int8_product_of(library_of(variant)),
    )
    if multiply is None:
        pytest.skip("no int8 product in this variant")
    multiply(
        states.data_ptr(), weight.data_ptr(), scales.data_ptr(), offsets.data_ptr(), bias.data_ptr(), 0, out.data_ptr(),
        room.data_ptr(), team, 203, 160, 64, PLAIN, N_THREADS,
    )  # fmt: skip
    return out


def attended(variant: Variant, team: int | None) -> torch.Tensor:
    """Return the contexts of five rows, computed by a team."""
    own, lengths = attention_of(library_of(variant)), [3, 17, 17, 40, 61]
    qkv, spans = torch.randn(sum(lengths), 3, 2, 32).bfloat16(), spans_of(lengths, torch.device("cpu"))
    out, n_bytes = torch.zeros(sum(lengths), 64).bfloat16(), own.scratch_of(61, 32)
    scratch = torch.zeros(N_THREADS * n_bytes + 64, dtype=torch.uint8)
    own.attend(
        qkv.data_ptr(), out.data_ptr(), spans.cumulative_lengths.data_ptr(), -(-scratch.data_ptr() // 64) * 64, team,
        len(lengths), 2, 32, n_bytes, 0, N_THREADS, 0.2,
    )  # fmt: skip
    return out


def normed(variant: Variant, team: int | None) -> torch.Tensor:
    """Return the norms of 203 rows, computed by a team."""
    sums, scale, shift = torch.randn(203, 48), torch.randn(48), torch.randn(48)
    out = torch.zeros(203, 48).bfloat16()
    norm_call(library_of(variant))(
        sums.data_ptr(), scale.data_ptr(), shift.data_ptr(), out.data_ptr(), team, 203, 48, N_THREADS, 1e-5
    )
    return out


def embedded(variant: Variant, team: int | None) -> torch.Tensor:
    """Return the embeddings of five rows, computed by a team."""
    lengths = [3, 17, 17, 40, 61]
    ids, spans = torch.randint(0, 50, (sum(lengths),), dtype=torch.int32), spans_of(lengths, torch.device("cpu"))
    words, places, scale = torch.randn(50, 48).bfloat16(), torch.randn(70, 48), torch.randn(48)
    out, sums = torch.zeros(sum(lengths), 48).bfloat16(), torch.zeros(sum(lengths), 48)
    embed_call(library_of(variant))(
        ids.data_ptr(), 0, 0, spans.cumulative_lengths.data_ptr(), words.data_ptr(), places.data_ptr(), 0,
        scale.data_ptr(), scale.data_ptr(), sums.data_ptr(), out.data_ptr(), team, len(lengths), 48, 1, N_THREADS, 1e-5,
    )  # fmt: skip
    return out


def scored(variant: Variant, team: int | None) -> torch.Tensor:
    """Return the scores of 40 states over 1,000 words, computed by a team."""
    words, bias, states = torch.randn(1000, 64).bfloat16(), torch.randn(1000), torch.randn(2, 32, 32, 2).bfloat16()
    out = torch.zeros(40, 1000)
    score_call(library_of(variant))(
        words.data_ptr(), bias.data_ptr(), states.data_ptr(), out.data_ptr(), team, 1000, 64, 40, N_THREADS
    )
    return out


def summed_up(variant: Variant, team: int | None) -> torch.Tensor:
    """Return the sums of the scores of 40 states, computed by a team."""
    logits, out = torch.randn(40, 1000), torch.zeros(2, 40)
    sum_up_call(library_of(variant))(logits.data_ptr(), out[0].data_ptr(), out[1].data_ptr(), team, 1000, 40, N_THREADS)
    return out


@each_variant
@pytest.mark.parametrize(
    ("work", "n_kernels"),
    [
        (multiplied, 1), (multiplied_in_int8, 2), (attended, 1), (normed, 1), (embedded, 2), (scored, 1),
        (summed_up, 1),
    ],
)  # fmt: skip
def test_a_team_does_the_work_once(
    variant: Variant, work: Callable[[Variant, int | None], torch.Tensor], n_kernels: int
) -> None:
    """A team is called once per kernel, for the given number of threads. Together they write what one thread writes."""
    torch.manual_seed(0)
    alone = work(variant, None)
    for _ in range(20):
        team = CountedTeam()
        torch.manual_seed(0)
        assert torch.equal(work(variant, team.address), alone)
        assert team.asked == [N_THREADS] * n_kernels
