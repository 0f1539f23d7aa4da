"""Kernels that were compiled ahead of time: found by name, loaded where no compiler is."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from serve.kernels.compiler import compile_library, is_built, library_name, load_compiled
from serve.kernels.cpu import build
from serve.kernels.cpu.variants import ARM, AVX2, SOURCES, VARIANTS, X86, all_flags
from tests.unit.serve.kernels.cpu.each_variant import runs_here

ROOT = Path(__file__).parents[5]
SUM = "int glossa_sum(int a, int b) { return a + b; }\n"
WITHOUT_COMPILER = """
import sys
sys.modules["ziglang"] = None
from serve.kernels.compiler import BUILT, _compiler
from serve.kernels.cpu.library import load_kernels
from serve.kernels.cpu.variants import AVX2, AVX512
assert _compiler("x86_64", "cc") is None, "a compiler was found"
assert load_kernels(AVX2) is not None, "what was built was not loaded"
assert str(BUILT) in open("/proc/self/maps").read()
assert load_kernels(AVX512) is None, "what was not built was loaded"
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a copy of the code, as an image has it."""
    for name in ("serve", "shared"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "built"))
    return tmp_path


@pytest.mark.skipif(not runs_here(AVX2), reason="needs AVX2")
def test_an_image_without_a_compiler_loads_what_was_built(tree: Path) -> None:
    """A process without a compiler loads the kernels of its tree, and leaves the tree as it is. Else torch computes."""
    built = tree / "serve" / "kernels" / "built"
    built.mkdir()
    assert compile_library(SOURCES, built / library_name(SOURCES, X86, all_flags(AVX2)), X86, all_flags(AVX2))
    before = sorted(tree.rglob("*"))
    environment = {"PATH": "/nowhere", "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_COMPILER], cwd=tree, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert sorted(tree.rglob("*")) == before


def test_build_needs_no_torch() -> None:
    """An image compiles its kernels before it installs torch."""
    code = "import sys; import serve.kernels.cpu.build; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_build_knows_every_library_that_a_replica_loads() -> None:
    """Each variant and oneDNN's int8 steps are built, and each is its own file."""
    assert set(build.RECIPES) == {*(variant.name for variant in VARIANTS), "onednn-int8"}
    assert len({library_name(*recipe) for recipe in build.RECIPES.values()}) == len(build.RECIPES)


def test_an_image_builds_what_its_machine_can_run() -> None:
    """By default the libraries of one machine type are built. Together they are all there are."""
    assert set(build.recipes_for(X86)) == {"avx512-bf16", "avx2", "onednn-int8"}
    assert set(build.recipes_for(ARM)) == {"neon-bf16-i8mm", "neon"}
    assert build.recipes_for(X86) | build.recipes_for(ARM) == build.RECIPES


def test_build_writes_under_the_name_that_loading_looks_for(tmp_path: Path) -> None:
    """What `build` writes is what `load_compiled` finds, from the folder alone."""
    source = tmp_path / "sum.c"
    source.write_text(SUM)
    written = build.build(tmp_path / "built", {"sum": ((source,), X86, ("-O1",))})["sum"]
    loaded = load_compiled((source,), X86, ("-O1",), built=tmp_path / "built")
    assert loaded is not None
    assert str(written) in Path("/proc/self/maps").read_text()
    assert loaded.glossa_sum(2, 3) == 5
    assert is_built((source,), X86, ("-O1",), built=tmp_path / "built")
    assert not is_built((source,), X86, ("-O2",), built=tmp_path / "built")


def test_a_library_of_other_sources_is_not_loaded(tmp_path: Path) -> None:
    """The name changes with a source, a header beside it, the machine and the flags."""
    source, header = tmp_path / "sum.c", tmp_path / "sum.h"
    source.write_text(SUM)
    names = [library_name((source,), X86, ("-O1",))]
    names.append(library_name((source,), X86, ("-O2",)))
    names.append(library_name((source,), "aarch64", ("-O1",)))
    header.write_text("")
    names.append(library_name((source,), X86, ("-O1",)))
    source.write_text(SUM + "\n")
    names.append(library_name((source,), X86, ("-O1",)))
    assert len(set(names)) == len(names)


def test_a_broken_library_is_an_error(tmp_path: Path) -> None:
    """A file that does not load is an OSError, which the caller logs, and no other library takes its place."""
    source, built = tmp_path / "sum.c", tmp_path / "built"
    source.write_text(SUM)
    built.mkdir()
    (built / library_name((source,), X86, ())).write_bytes(b"not a library")
    with pytest.raises(OSError, match=r"invalid ELF header|file too short"):
        load_compiled((source,), X86, (), built=built)
    assert isinstance(load_compiled((source,), X86, (), built=tmp_path / "absent"), ctypes.CDLL)
