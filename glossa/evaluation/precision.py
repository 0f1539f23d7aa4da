"""The precisions that a model can be measured in, beside what its catalog entry says. Must not know engines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from shared.catalog import BFLOAT16_ONLY, Dtype, Model, Quantization

AS_CATALOG = "catalog"
INT8: Quantization = "onednn-int8"  # what `int8` means on a CPU
CPU_NAMES: Mapping[str, Quantization] = {"int8": INT8}
QUANTIZATIONS = tuple(name for name in get_args(Quantization) if name != "none")
COMPUTE_TYPES = (AS_CATALOG, *get_args(Dtype), *CPU_NAMES, *QUANTIZATIONS)


def in_precision(model: Model, compute_type: str) -> Model:
    """Return the model as it would be in a catalog that says `compute_type`.

    A dtype stands for no quantization, and for no 8-bit embeddings. Raises ValueError for an unknown name.
    """
    if compute_type == AS_CATALOG:
        return model
    if compute_type in get_args(Dtype):
        said: dict[str, object] = {"dtype": compute_type, "quantization": "none", "int8_embeddings": False}
    elif (kind := CPU_NAMES.get(compute_type, compute_type)) in QUANTIZATIONS:
        said = {"quantization": kind, "dtype": "bfloat16" if kind in BFLOAT16_ONLY else model.dtype}
    else:
        raise ValueError(f"got compute type {compute_type!r}, expected one of {', '.join(COMPUTE_TYPES)}")
    return Model.model_validate({**model.model_dump(), **said})


def described(model: Model) -> str:
    """Return in a word what a model is computed in."""
    word = model.dtype if model.quantization == "none" else model.quantization
    return f"{word}+int8-embeddings" if model.int8_embeddings else word
