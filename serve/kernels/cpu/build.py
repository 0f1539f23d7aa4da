"""Compiles all CPU kernels ahead of time, for an image that holds no compiler.

`python -m serve.kernels.cpu.build` writes one library for each variant of the bfloat16 kernels, and one for the steps
around oneDNN's int8 product. A replica finds them by name (`serve.kernels.compiler.load_compiled`) and compiles
nothing. This module imports no torch. It must not know which processor will run the kernels.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from serve.kernels.compiler import BUILT, compile_library, library_name
from serve.kernels.cpu.variants import MACHINE, ONEDNN_INT8_FLAGS, ONEDNN_INT8_SOURCES, SOURCES, VARIANTS, all_flags

Recipe = tuple[Sequence[Path], str, tuple[str, ...]]

RECIPES: Mapping[str, Recipe] = {
    **{variant.name: (SOURCES, MACHINE, all_flags(variant)) for variant in VARIANTS},
    "onednn-int8": (ONEDNN_INT8_SOURCES, MACHINE, ONEDNN_INT8_FLAGS),
}


def build(folder: Path, recipes: Mapping[str, Recipe] = RECIPES) -> dict[str, Path]:
    """Compile every library into `folder`, which is made, and return their files by variant.

    Raises RuntimeError without a compiler, or with the message of one that failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: dict[str, Path] = {}
    for name, (sources, machine, flags) in recipes.items():
        written[name] = folder / library_name(sources, machine, flags)
        if not compile_library(sources, written[name], machine, flags):
            raise RuntimeError(f"{name}: found no C compiler, expected ziglang (pip install) or cc on the path")
    return written


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the kernels. Return 0."""
    parser = argparse.ArgumentParser(prog="python -m serve.kernels.cpu.build", description=str(__doc__).split("\n")[0])
    parser.add_argument("--out", type=Path, default=BUILT, help="default: where a replica of this tree looks for them")
    build(parser.parse_args(arguments).out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
