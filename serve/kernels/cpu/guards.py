"""Checks of everything that a kernel will read, before C reads memory. The kernels themselves check nothing.

An error gives the value, then what was expected. This module must not know what a kernel computes.
"""

from __future__ import annotations

from itertools import accumulate

import torch
from torch import Tensor

from serve.rows.pack import Spans

ID_DTYPES = (torch.int32, torch.int64)


def check_states(
    states: Tensor, n_tokens: int | None, width: int, *dtypes: torch.dtype, unit: str = "tokens", name: str = "states"
) -> None:
    """Raise ValueError unless states are bfloat16 [n_tokens, width] on a CPU.

    With None as `n_tokens` any number is allowed, and the error names it by its `unit`. `dtypes` replace bfloat16.
    `name` says in the error what the tensor is.
    """
    dtypes = dtypes or (torch.bfloat16,)
    n_found = states.shape[0] if states.dim() else 0
    shape = (n_found if n_tokens is None else n_tokens, width)
    if states.dtype not in dtypes or not states.is_cpu or states.shape != shape:
        wanted = f"{_named(dtypes)} [{unit if n_tokens is None else n_tokens}, {width}] on cpu"
        raise ValueError(f"got {name} {_shown(states)}, expected {wanted}")


def check_spans(spans: Spans, n_tokens: int) -> None:
    """Raise ValueError unless spans are those of rows that fill `n_tokens` tokens, with bounds that C can read.

    C walks from bound to bound: bounds that lie would let it read and write beyond the tokens.
    """
    bounds = spans.cumulative_lengths
    if bounds.dtype != torch.int32 or not bounds.is_cpu or not bounds.is_contiguous() or bounds.dim() != 1:
        raise ValueError(f"got bounds of rows {_shown(bounds)}, expected contiguous int32 [rows + 1] on cpu")
    if min(spans.lengths, default=0) < 1:
        raise ValueError(
            f"got rows of {list(spans.lengths)[:8]} tokens, expected at least one row, and one token in each"
        )
    summed = [0, *accumulate(spans.lengths)]
    if bounds.tolist() != summed:
        raise ValueError(f"got bounds of rows {bounds.tolist()[:8]}, expected {summed[:8]}, the lengths added up")
    if summed[-1] != n_tokens:
        raise ValueError(f"got rows of {summed[-1]} tokens, expected {n_tokens}, as many as there are states")


def check_ids(name: str, ids: Tensor, n_tokens: int, end: int, *, least: int) -> None:
    """Raise ValueError unless ids are integers [n_tokens] on a CPU, each `least` <= id < `end`."""
    if ids.dtype not in ID_DTYPES or not ids.is_cpu or ids.shape != (n_tokens,):
        raise ValueError(f"got {name}s {_shown(ids)}, expected {_named(ID_DTYPES)} [{n_tokens}] on cpu")
    if not n_tokens:
        return
    numbers = ids.numpy()
    if (low := int(numbers.min())) < least or (high := int(numbers.max())) >= end:
        raise ValueError(f"got {name} {low if low < least else high}, expected {least} <= id < {end}")


def check_table(name: str, table: Tensor, width: int, dtype: torch.dtype) -> None:
    """Raise ValueError unless a table is `dtype` [at least one row, width] on a CPU."""
    if table.dtype != dtype or not table.is_cpu or table.dim() != 2 or not len(table) or table.shape[1] != width:  # noqa: PLR2004 - a table has two dimensions
        raise ValueError(f"got {name} {_shown(table)}, expected {_named((dtype,))} [rows, {width}] on cpu")


def check_vector(name: str, vector: Tensor, width: int) -> None:
    """Raise ValueError unless a vector has `width` floating-point numbers on a CPU."""
    if not vector.is_floating_point() or not vector.is_cpu or vector.shape != (width,):
        raise ValueError(f"got {name} {_shown(vector)}, expected floating point [{width}] on cpu")


def check_weight(weight: Tensor, outputs: int, inputs: int, *dtypes: torch.dtype) -> None:
    """Raise ValueError for a weight that a kernel would read wrongly.

    `outputs` and `inputs` are the numbers of which the shape [out, in] must hold multiples. `dtypes` replace bfloat16.
    """
    dtypes = dtypes or (torch.bfloat16,)
    fits = weight.dim() == 2 and weight.numel() and not (weight.shape[0] % outputs or weight.shape[1] % inputs)  # noqa: PLR2004 - a weight has two dimensions
    if weight.dtype not in dtypes or not weight.is_cpu or not fits:
        wanted = f"{_named(dtypes)} [multiple of {outputs}, multiple of {inputs}] on cpu"
        raise ValueError(f"got a weight {_shown(weight)}, expected {wanted}")


def _shown(tensor: Tensor) -> str:
    return f"{tensor.dtype} {tuple(tensor.shape)} on {tensor.device}"


def _named(dtypes: tuple[torch.dtype, ...]) -> str:
    return " or ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
