"""Linears in 8-bit integers on a CPU: oneDNN's product of bytes, one scale a token and one an output.

VNNI multiplies bytes at about twice the rate of bfloat16. Weights are rounded once, states at every product, each token
by its own largest magnitude, so that a token's product does not depend on its company (Dettmers et al. 2022, section
3.1, vector-wise quantization; no outliers are taken out). oneDNN has no scale a token on CPUs; a kernel of our own
(native/onednn_int8.c) rounds before the product and scales behind it, with bias, GELU or residual in the same step.
Where
serve.kernels.cpu.int8_products has a product of its own, it is taken instead.
Must not know layers, families or rows.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from torch import Tensor

from serve.checkpoints.read import CheckpointError
from serve.kernels.compiler import load_compiled, this_machine
from serve.kernels.core_team import team_address
from serve.layers.linear import USUAL_TOKENS, Activate, FusedLinear

SOURCE = Path(__file__).parent / "native" / "onednn_int8.c"
MACHINE = "x86_64"
INT8_MAX, ZERO_POINT = 127, 128  # oneDNN is quickest with unsigned states and signed weights
FLAGS = (
    "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mfma", "-mprefer-vector-width=512",
    "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros",
)  # fmt: skip

Step = Callable[..., None]  # of addresses, rows and width


class Kernel:
    """The functions of native/onednn_int8.c by ctypes; calls run without the interpreter's lock."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.quantize = _step(library, "glossa_quantize", n_arrays=3)
        self.finish = _step(library, "glossa_finish", n_arrays=3)
        self.finish_gelu = _step(library, "glossa_finish_gelu", n_arrays=3)
        self.finish_added = _step(library, "glossa_finish_added", n_arrays=5)


class Int8Linear(FusedLinear):
    """A Linear whose weight [out, in] lies in 8 bits in oneDNN's layout; it keeps no other copy. bfloat16, CPU."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self._kernel = load_kernel()
        self.n_out, self.n_in = weight.shape
        rounded, self._scales = to_int8(weight)
        self._weight = torch.ops.onednn.qlinear_prepack(rounded, [USUAL_TOKENS, self.n_in])
        self._zero_points = torch.zeros(self.n_out, dtype=torch.int64)
        self._bias = torch.zeros(self.n_out) if bias is None else bias.detach().float()

    def forward(self, states: Tensor) -> Tensor:
        """Return [tokens, out] of states [tokens, in]."""
        return self._finished(self._kernel.finish, states)

    def activated(self, states: Tensor, activate: Activate) -> Tensor:
        """Return activate(product) [tokens, out]."""
        if activate is not F.gelu:
            return activate(self(states))
        return self._finished(self._kernel.finish_gelu, states)

    def added(self, states: Tensor, residual: Tensor) -> Tensor:
        """Return residual + product [tokens, out], float32, of a product that oneDNN rounded."""
        if residual.dtype != torch.bfloat16 or residual.shape != (states.shape[0], self.n_out):
            raise ValueError(
                f"got a residual {residual.dtype} {tuple(residual.shape)}, expected bfloat16 like the product"
            )
        sums, residual = torch.empty(residual.shape), residual.contiguous()
        self._finished(self._kernel.finish_added, states, residual, sums)
        return sums

    def _finished(self, step: Step, states: Tensor, *beside: Tensor) -> Tensor:
        if states.dtype != torch.bfloat16 or states.shape != (len(states), self.n_in):  # the kernel does not look
            raise ValueError(
                f"got states {states.dtype} {tuple(states.shape)}, expected bfloat16 [tokens, {self.n_in}]"
            )
        states, n_tokens = states.contiguous(), len(states)
        int8_values = torch.empty(n_tokens, self.n_in, dtype=torch.uint8)
        scales = torch.empty(n_tokens)
        self._kernel.quantize(states.data_ptr(), int8_values.data_ptr(), scales.data_ptr(), n_tokens, self.n_in)
        product = torch.ops.onednn.qlinear_pointwise(
            int8_values, 1.0, ZERO_POINT, self._weight, self._scales, self._zero_points,
            None, 1.0, 0, torch.bfloat16, "none", [], "",
        )  # fmt: skip
        others = (tensor.data_ptr() for tensor in beside)
        step(product.data_ptr(), scales.data_ptr(), self._bias.data_ptr(), *others, n_tokens, self.n_out)
        return torch.as_tensor(product)


def to_int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return a weight [out, in] as int8 levels and the float32 scale [out] of each output's.

    Raises CheckpointError unless it is finite.
    """
    values = weight.detach().float().contiguous()  # what reads the levels reads memory, not strides
    largest = values.abs().amax(1)
    if not bool(largest.isfinite().all()):
        raise CheckpointError(f"onednn-int8 got a weight {tuple(values.shape)} that is not finite, expected numbers")
    scales = torch.where(largest > 0, largest / INT8_MAX, 1.0)
    return (values / scales[:, None]).round().to(torch.int8), scales


def int8_lacks(device: torch.device) -> str:
    """Return what this machine lacks for products of bytes, value and expectation; empty when it can run them."""
    if device.type != "cpu":
        return f"got device {device.type}, expected cpu: hide the others (CUDA_VISIBLE_DEVICES=)"
    if platform.system() != "Linux" or not torch._C._has_mkldnn:  # noqa: SLF001 - its wrapper has no types
        return f"got {platform.system()} or a torch without oneDNN, expected Linux and oneDNN"
    if this_machine() != MACHINE or not torch.cpu._is_vnni_supported():  # noqa: SLF001 - torch has no public name
        return f"got a processor ({this_machine()}) without AVX-512 VNNI, expected one with it"
    return ""


@cache
def load_kernel() -> Kernel:
    """Compile native/onednn_int8.c for this process, in under a second, and load it.

    Raises CheckpointError when it cannot.
    """
    try:
        library = load_compiled([SOURCE], MACHINE, FLAGS)
    except (RuntimeError, OSError) as failure:
        raise CheckpointError(f"onednn-int8 has no kernel: {failure}") from failure
    if library is None:
        raise CheckpointError("onednn-int8 found no C compiler, expected ziglang (pip install) or cc on the path")
    return Kernel(library)


def _step(library: ctypes.CDLL, name: str, *, n_arrays: int) -> Step:
    """Return a function of so many addresses, rows and width, whose work the caller's team shares."""
    function, team = getattr(library, name), team_address()
    function.argtypes, function.restype = [ctypes.c_void_p] * (n_arrays + 1) + [ctypes.c_int64] * 3, None

    def step(*given: int) -> None:
        *arrays, n_rows, width = given
        function(*arrays, team, n_rows, width, torch.get_num_threads())

    return step
