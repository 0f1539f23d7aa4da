"""Compiles all CPU kernels ahead of time, for an image that holds no compiler.

`python -m serve.kernels.cpu.build` writes one library for each variant of the bfloat16 kernels that this machine type
has, and on x86-64 one for the steps around oneDNN's int8 product. With `--all` it writes those of every machine type,
which needs Zig. A replica finds them by name (`serve.kernels.compiler.load_compiled`) and compiles
nothing. This module imports no torch. It must not know which processor will run the kernels.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from serve.kernels.compiler import BUILT, compile_library, library_name, this_machine
from serve.kernels.cpu.variants import ONEDNN_INT8_FLAGS, ONEDNN_INT8_SOURCES, SOURCES, VARIANTS, X86, all_flags

Recipe = tuple[Sequence[Path], str, tuple[str, ...]]

RECIPES: Mapping[str, Recipe] = {
    **{variant.name: (SOURCES, variant.machine, all_flags(variant)) for variant in VARIANTS},
    "onednn-int8": (ONEDNN_INT8_SOURCES, X86, ONEDNN_INT8_FLAGS),
}


def recipes_for(wanted: str) -> dict[str, Recipe]:
    """Return the recipes of one machine type."""
    return {name: recipe for name, recipe in RECIPES.items() if recipe[1] == wanted}


def build(folder: Path, recipes: Mapping[str, Recipe]) -> dict[str, Path]:
    """Compile every library into `folder`, which is made, and return their files by variant.

    Raises RuntimeError without a compiler, or with the message of one that failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: dict[str, Path] = {}
    for name, (sources, machine, flags) in recipes.items():
        written[name] = folder / library_name(sources, machine, flags)
        if not compile_library(sources, written[name], machine, flags):
            raise RuntimeError(
                f"{name}: found no C compiler for {machine}, expected ziglang (pip install), or cc on such a machine"
            )
    return written


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the kernels. Return 0."""
    parser = argparse.ArgumentParser(prog="python -m serve.kernels.cpu.build", description=str(__doc__).split("\n")[0])
    parser.add_argument("--out", type=Path, default=BUILT, help="default: where a replica of this tree looks for them")
    parser.add_argument("--all", action="store_true", help="for every machine type (default: for this one)")
    given = parser.parse_args(arguments)
    build(given.out, RECIPES if given.all else recipes_for(this_machine()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
