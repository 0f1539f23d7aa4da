"""Compiles the tokenizers' kernel for the machines that functions run on.

Must not know tokenizers or catalogs.
"""

from __future__ import annotations

import os
from pathlib import Path

from functions.tokenizers.memory_mapped.kernel import MACHINES, kernel_name
from serve.kernels.compiler import compile_library

SOURCE = Path(__file__).parent / "native" / "unigram.c"
FLAGS = ("-ffp-contract=off",)  # sums as the crate makes them: nothing is fused


def compile_kernels(folder: Path) -> list[Path]:
    """Compile the kernel into a folder for each machine there is a compiler for; return the files, none without one.

    Raises RuntimeError with what a compiler said.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for machine in sorted(set(MACHINES.values())):
        name = kernel_name(machine)
        if name and compile_library([SOURCE], folder / name, machine, FLAGS, own=os.environ.get("CC", "cc")):
            made.append(folder / name)
    return made
