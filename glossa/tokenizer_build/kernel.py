"""Compiles the tokenizer kernel, which is C code, for the machine types that functions run on.

Must not know tokenizers or catalogs.
"""

from __future__ import annotations

import os
from pathlib import Path

from functions.tokenizers.memory_mapped.kernel import MACHINES, kernel_name
from serve.kernels.compiler import compile_library

SOURCE = Path(__file__).parent / "native" / "unigram.c"
FLAGS = ("-ffp-contract=off",)  # no fused operations, so that sums are those of the tokenizers crate


def compile_kernels(folder: Path) -> list[Path]:
    """Compile the kernel into a folder, once for each machine type that a compiler here supports; return the files.

    Returns an empty list without a compiler. Raises RuntimeError with the compiler's message when it fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for machine in sorted(set(MACHINES.values())):
        name = kernel_name(machine)
        if name and compile_library([SOURCE], folder / name, machine, FLAGS, own=os.environ.get("CC", "cc")):
            made.append(folder / name)
    return made
