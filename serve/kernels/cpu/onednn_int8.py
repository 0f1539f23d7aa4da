"""Linear layers in 8-bit integers on a CPU, by oneDNN's product: one scale per token and one per output.

VNNI instructions multiply int8 about twice as fast as bfloat16. Weights are rounded once, and states at every product,
each token by its own largest magnitude. A token's product therefore does not depend on its batch mates. This is the
vector-wise quantization of LLM.int8() (Dettmers et al. 2022, section 3.1) without outliers.

oneDNN has no scale per token on CPUs. Our kernel in native/onednn_int8.c rounds before the product, and scales after it
together with bias, GELU or residual. Where serve.kernels.cpu.int8_products can run, it replaces this product. This
module must not know other layers, model families or rows.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from torch import Tensor

from serve.checkpoints.read import CheckpointError
from serve.kernels.compiler import load_compiled, this_machine
from serve.kernels.core_team import team_address
from serve.kernels.cpu.guards import check_states, check_vector, check_weight
from serve.kernels.cpu.library import features_here
from serve.kernels.cpu.variants import ARM, NEON_TILES, ONEDNN_INT8_FLAGS, ONEDNN_INT8_SOURCES, X86
from serve.layers.linear import USUAL_TOKENS, Activate, FusedLinear

INT8_MAX, ZERO_POINT = 127, 128  # oneDNN is fastest with unsigned states and signed weights

KernelCall = Callable[..., None]  # takes addresses, rows and width


class Kernel:
    """The functions of native/onednn_int8.c by ctypes. They run without the interpreter's lock."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.quantize = _kernel_call(library, "glossa_quantize", n_arrays=3)
        self.finish = _kernel_call(library, "glossa_finish", n_arrays=3)
        self.finish_gelu = _kernel_call(library, "glossa_finish_gelu", n_arrays=3)
        self.finish_added = _kernel_call(library, "glossa_finish_added", n_arrays=5)


class Int8Linear(FusedLinear):
    """A linear layer with an int8 weight [out, in] in oneDNN's layout only. For bfloat16 states on a CPU."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        """Quantize `weight` [out, in] and keep `bias` [out].

        Raises ValueError for another shape, dtype or device, and CheckpointError for a weight that is not finite.
        """
        super().__init__()
        check_weight(weight, 1, 1, torch.float32, torch.bfloat16, torch.float16)
        if bias is not None:
            check_vector("a bias", bias, weight.shape[0])
        self._kernel = load_kernel(this_machine())
        self.n_out, self.n_in = weight.shape
        rounded, self._scales = to_int8(weight)
        self._weight = torch.ops.onednn.qlinear_prepack(rounded, [USUAL_TOKENS, self.n_in])
        self._zero_points = torch.zeros(self.n_out, dtype=torch.int64)
        self._bias = torch.zeros(self.n_out) if bias is None else bias.detach().float().contiguous()

    def forward(self, states: Tensor) -> Tensor:
        """Return [tokens, out] for states [tokens, in]. Raises ValueError for states that the kernel cannot read."""
        return self._finished(self._kernel.finish, states)

    def activated(self, states: Tensor, activate: Activate) -> Tensor:
        """Return activate(product) [tokens, out]."""
        if activate is not F.gelu:
            return activate(self(states))
        return self._finished(self._kernel.finish_gelu, states)

    def added(self, states: Tensor, residual: Tensor) -> Tensor:
        """Return residual + product [tokens, out] in float32, where oneDNN rounded the product. Raises ValueError."""
        check_states(residual, states.shape[0] if states.dim() else 0, self.n_out, name="a residual")
        sums, residual = torch.empty(residual.shape), residual.contiguous()
        self._finished(self._kernel.finish_added, states, residual, sums)
        return sums

    def _finished(self, call: KernelCall, states: Tensor, *beside: Tensor) -> Tensor:
        check_states(states, None, self.n_in)
        states, n_tokens = states.contiguous(), len(states)
        int8_values = torch.empty(n_tokens, self.n_in, dtype=torch.uint8)
        scales = torch.empty(n_tokens)
        self._kernel.quantize(states.data_ptr(), int8_values.data_ptr(), scales.data_ptr(), n_tokens, self.n_in)
        product = torch.ops.onednn.qlinear_pointwise(
            int8_values, 1.0, ZERO_POINT, self._weight, self._scales, self._zero_points,
            None, 1.0, 0, torch.bfloat16, "none", [], "",
        )  # fmt: skip
        others = (tensor.data_ptr() for tensor in beside)
        call(product.data_ptr(), scales.data_ptr(), self._bias.data_ptr(), *others, n_tokens, self.n_out)
        return torch.as_tensor(product)


def to_int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Quantize a weight [out, in]: return int8 values [out, in] and a float32 scale [out] per output.

    Raises CheckpointError for a weight that is not finite.
    """
    if not bool(weight.isfinite().all()):
        raise CheckpointError(f"onednn-int8 got a weight {tuple(weight.shape)} that is not finite, expected numbers")
    return int8_rows(weight.detach().contiguous())  # oneDNN and our kernel read memory in order and know no strides


def int8_rows(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return int8 values [rows, width] and a float32 scale [rows]: the largest magnitude of a row becomes 127.

    A row of zeros has scale 1.
    """
    numbers = values.float()
    largest = numbers.abs().amax(1)
    scales = torch.where(largest > 0, largest / INT8_MAX, 1.0)
    return (numbers / scales[:, None]).round().to(torch.int8), scales


def int8_lacks(device: torch.device) -> str:
    """Return why this machine cannot run int8 products, with value and expectation. Return "" when it can.

    On arm64 the products are ours alone.
    """
    if device.type != "cpu":
        return f"got device {device.type}, expected cpu: hide the others (CUDA_VISIBLE_DEVICES=)"
    if this_machine() == ARM:
        return arm_lacks(features_here())
    if platform.system() != "Linux" or not torch._C._has_mkldnn:  # noqa: SLF001 - its wrapper has no types
        return f"got {platform.system()} or a torch without oneDNN, expected Linux and oneDNN"
    if this_machine() != X86 or not torch.cpu._is_vnni_supported():  # noqa: SLF001 - torch has no public name
        return f"got a processor ({this_machine()}) without AVX-512 VNNI, expected one with it"
    return ""


def arm_lacks(features: frozenset[str]) -> str:
    """Return why an arm64 processor with these features cannot run int8 products, or ""."""
    missing = sorted(NEON_TILES.features - features)
    return f"got a processor (aarch64) without {', '.join(missing)}, expected one with them" if missing else ""


@cache
def load_kernel(machine: str = X86) -> Kernel:
    """Load the kernel of the image, or compile it for this process in under a second. Raises CheckpointError."""
    if machine != X86:
        raise CheckpointError(
            f"onednn-int8 has no kernel around oneDNN's product for {machine}, expected weights [multiple of 32,"
            " multiple of 32] and a C compiler, so that our own product computes them"
        )
    try:
        library = load_compiled(ONEDNN_INT8_SOURCES, machine, ONEDNN_INT8_FLAGS)
    except (RuntimeError, OSError) as failure:
        raise CheckpointError(f"onednn-int8 has no kernel: {failure}") from failure
    if library is None:
        raise CheckpointError("onednn-int8 found no C compiler, expected ziglang (pip install) or cc on the path")
    return Kernel(library)


def _kernel_call(library: ctypes.CDLL, name: str, *, n_arrays: int) -> KernelCall:
    """Return a function that takes `n_arrays` addresses, rows and width. The team of the caller shares its work."""
    function, team = getattr(library, name), team_address()
    function.argtypes, function.restype = [ctypes.c_void_p] * (n_arrays + 1) + [ctypes.c_int64] * 3, None

    def call(*given: int) -> None:
        *arrays, n_rows, width = given
        function(*arrays, team, n_rows, width, torch.get_num_threads())

    return call
