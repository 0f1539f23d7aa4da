"""The decoder of an LM head on a CPU, by our kernel in native/decoder.c: bfloat16 weights, float32 scores.

A decoder here is the linear layer that scores every word of the vocabulary, as `transformers` names it.

For one masked word, XLM-V reads 1.4 GB of weights. torch's product rounds every score to bfloat16. The largest scores
must then be computed again, and further passes over all scores convert and sum them. This kernel reads the weights in
the layout of the embedding, once for 32 states at a time, and rounds no score. Where it cannot run,
serve.layers.heads.Decoder computes the same in torch. This module must not know checkpoints or what is read from the
scores.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import partial
from typing import TypeGuard

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from torch import Tensor, nn

from serve.kernels.core_team import team_address
from serve.kernels.cpu.guards import check_states, check_vector
from serve.kernels.cpu.library import VECTOR_WIDTH, kernels_here
from serve.kernels.cpu.products import PANEL
from serve.layers.heads import Decoder, MakeDecoder, decoder_of


class KernelScores:
    """Scores of states over the vocabulary of a decoder, whose weight it shares.

    For bfloat16 on a CPU, without gradients.
    """

    def __init__(self, library: ctypes.CDLL, decoder: nn.Linear) -> None:
        """Take weight [vocabulary, width] and bias of a decoder. Raises ValueError unless `fits` is true for it."""
        if not fits(decoder):
            raise ValueError(
                f"got a decoder {decoder}, expected bfloat16 on cpu, contiguous, inputs a multiple of {VECTOR_WIDTH}"
            )
        self._score, self._sum_up = score_call(library), sum_up_call(library)
        self._team, self._weight = team_address(), decoder.weight.detach()
        self.n_words, self.width = self._weight.shape
        bias = dict(decoder.named_parameters()).get("bias")
        if bias is not None:
            check_vector("a bias", bias, self.n_words)
        self._bias = torch.zeros(self.n_words) if bias is None else bias.detach().float().contiguous()

    def __call__(self, states: Tensor) -> Tensor:
        """Return float32 [n, vocabulary] for states [n, width].

        Raises ValueError for states that the kernel cannot read.
        """
        check_states(states, None, self.width, unit="states")
        n_states = len(states)
        padded = F.pad(states, (0, 0, 0, -n_states % PANEL)).reshape(-1, PANEL, self.width // 2, 2)
        panels = padded.transpose(1, 2).contiguous()  # torch aligns its memory to 64 bytes
        logits = torch.empty(n_states, self.n_words)
        self._score(
            self._weight.data_ptr(), self._bias.data_ptr(), panels.data_ptr(), logits.data_ptr(), self._team,
            self.n_words, self.width, n_states, torch.get_num_threads(),
        )  # fmt: skip
        return logits

    def log_sum_exp(self, logits: Tensor) -> Tensor:
        """Return log(sum(exp(logits))) [n] of float32 logits [n, words].

        Raises ValueError for logits that the kernel cannot read.
        """
        n_words = logits.shape[1] if logits.dim() > 1 else self.n_words
        check_states(logits, None, n_words, torch.float32, unit="states", name="logits")
        logits, n_states = logits.contiguous(), len(logits)
        largest, sums = torch.empty(n_states), torch.empty(n_states)
        self._sum_up(
            logits.data_ptr(), largest.data_ptr(), sums.data_ptr(), self._team,
            logits.shape[1], n_states, torch.get_num_threads(),
        )  # fmt: skip
        return largest + sums.log()


def score_call(library: ctypes.CDLL) -> Callable[..., None]:
    """Return the function of the compiled library that scores states."""
    call = library.glossa_score
    call.argtypes, call.restype = [ctypes.c_void_p] * 5 + [ctypes.c_int64] * 4, None
    return call


def sum_up_call(library: ctypes.CDLL) -> Callable[..., None]:
    """Return the function of the compiled library that sums exponentials of scores."""
    call = library.glossa_sum_up
    call.argtypes, call.restype = [ctypes.c_void_p] * 4 + [ctypes.c_int64] * 3, None
    return call


def fits(decoder: nn.Module) -> TypeGuard[nn.Linear]:
    """Say whether the kernel can read a decoder: a plain bfloat16 Linear whose width is a multiple of VECTOR_WIDTH."""
    weight = decoder.weight if isinstance(decoder, nn.Linear) else None
    if weight is None or weight.dtype != torch.bfloat16 or not weight.is_cpu:
        return False
    return weight.is_contiguous() and weight.numel() > 0 and not weight.shape[1] % VECTOR_WIDTH


def decoder_for(device: torch.device, dtype: torch.dtype) -> MakeDecoder:
    """Return the maker of a model's decoders: of the kernel if this machine can run it, else of torch."""
    is_ours = device.type == "cpu" and dtype == torch.bfloat16 and team_address()
    library = kernels_here() if is_ours else None
    return decoder_of if library is None else partial(kernel_decoder, library)


def kernel_decoder(library: ctypes.CDLL, score: nn.Module, vocab_size: int) -> Decoder:
    """Make a decoder of the kernel if it can read `score`, else a decoder of torch."""
    if not fits(score):
        return decoder_of(score, vocab_size)
    scores = KernelScores(library, score)
    return Decoder(scores, vocab_size, scores.log_sum_exp, states_per_block=PANEL)
