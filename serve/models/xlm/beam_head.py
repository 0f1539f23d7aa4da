"""Question answering of XLM with a beam: the best starts of an answer, and the best ends for each of them.

It follows XLMSQuADHead of `transformers` (after XLNet, Yang et al. 2019) without p_mask and cls_index. The
classification token is therefore the last token of a row. This module must not know the backbone, files or what an
answer is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from serve.layers.norms import norm_of
from serve.layers.parts import ModelParts
from serve.rows.pack import Pack
from serve.rows.row import RowOutput


@dataclass(frozen=True, slots=True)
class BeamLayers:
    """The layers of XLMSQuADHead. `end_dense` and `class_dense` read two concatenated states [.., 2 * width]."""

    start: nn.Module
    end_dense: nn.Module
    end_norm: nn.Module
    end_out: nn.Module
    class_dense: nn.Module
    class_out: nn.Module


class BeamHead(nn.Module):
    """Returns outputs with the names and shapes of the reference, one row each.

    As in the reference, outputs named `log_probs` hold probabilities. The reference fails for rows shorter than the
    beam. Here the missing entries at the end of the beam have index 0 and probability 0. States [tokens, starts, 2 *
    width] exist for one row at a time.
    """

    def __init__(self, layers: BeamLayers, *, n_starts: int, n_ends: int) -> None:
        super().__init__()
        self.start, self.end_dense, self.end_norm = layers.start, layers.end_dense, layers.end_norm
        self.end_out, self.class_dense, self.class_out = layers.end_out, layers.class_dense, layers.class_out
        self.n_starts, self.n_ends = n_starts, n_ends

    def forward(self, states: Tensor, pack: Pack, members: Sequence[int]) -> list[RowOutput]:
        """Answer each row.

        `start_top_log_probs` and `start_top_index` are [1, starts]. `end_top_log_probs` and `end_top_index` are [1,
        ends * starts], the best end of each start first. `cls_logits` is [1].
        """
        rows = torch.split(pack.tokens_of(states, members), [pack.spans.lengths[member] for member in members])
        return [self._answer(row) for row in rows]

    def _answer(self, row: Tensor) -> RowOutput:
        start_probs = self.start(row).squeeze(-1).float().softmax(0)
        best_starts, start_index = _best(start_probs[:, None], self.n_starts)
        starts = row[start_index[:, 0]]
        end_probs = self._end_logits(row, starts).softmax(0)
        best_ends, end_index = _best(end_probs, self.n_ends)
        found = min(self.n_starts, len(row))  # starts beyond the row's tokens have no ends either
        best_ends[:, found:], end_index[:, found:] = 0, 0
        return {
            "start_top_log_probs": best_starts.T.cpu(),
            "start_top_index": start_index.T.int().cpu(),
            "end_top_log_probs": best_ends.reshape(1, -1).cpu(),
            "end_top_index": end_index.reshape(1, -1).int().cpu(),
            "cls_logits": self._class_logit(row, start_probs).cpu(),
        }

    def _end_logits(self, row: Tensor, starts: Tensor) -> Tensor:
        """Return the logits [tokens, starts]: how well each token ends an answer that begins at each start."""
        shape = (len(row), len(starts), row.shape[1])
        pairs = torch.cat([row[:, None].expand(shape), starts[None].expand(shape)], dim=-1)
        hidden = self.end_norm(torch.tanh(self.end_dense(pairs)))
        return torch.as_tensor(self.end_out(hidden)).squeeze(-1).float()

    def _class_logit(self, row: Tensor, start_probs: Tensor) -> Tensor:
        """Return the logit [1] of the question having no answer in the text."""
        expected_start = (start_probs @ row.float()).to(row.dtype)
        pair = torch.cat([expected_start, row[-1]])[None]
        return torch.as_tensor(self.class_out(torch.tanh(self.class_dense(pair)))).flatten().float()


def beam_shapes(prefix: str, width: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor of XLMSQuADHead. Their names begin with `prefix`."""
    return {
        f"{prefix}.start_logits.dense.weight": (1, width),
        f"{prefix}.start_logits.dense.bias": (1,),
        f"{prefix}.end_logits.dense_0.weight": (width, 2 * width),
        f"{prefix}.end_logits.dense_0.bias": (width,),
        f"{prefix}.end_logits.LayerNorm.weight": (width,),
        f"{prefix}.end_logits.LayerNorm.bias": (width,),
        f"{prefix}.end_logits.dense_1.weight": (1, width),
        f"{prefix}.end_logits.dense_1.bias": (1,),
        f"{prefix}.answer_class.dense_0.weight": (width, 2 * width),
        f"{prefix}.answer_class.dense_0.bias": (width,),
        f"{prefix}.answer_class.dense_1.weight": (1, width),
    }


def build_beam(prefix: str, tensors: Mapping[str, Tensor], config: Any, parts: ModelParts) -> BeamHead:
    """Make a beam head from tensors whose names begin with `prefix`. The configuration sets the sizes of the beams."""

    def linear(name: str) -> nn.Module:
        return parts.linear(
            f"{prefix}.{name}", tensors[f"{prefix}.{name}.weight"], tensors.get(f"{prefix}.{name}.bias")
        )

    norm = f"{prefix}.end_logits.LayerNorm"
    layers = BeamLayers(
        start=linear("start_logits.dense"),
        end_dense=linear("end_logits.dense_0"),
        end_norm=norm_of(tensors[f"{norm}.weight"], tensors[f"{norm}.bias"], config.layer_norm_eps),
        end_out=linear("end_logits.dense_1"),
        class_dense=linear("answer_class.dense_0"),
        class_out=linear("answer_class.dense_1"),
    )
    return BeamHead(layers, n_starts=config.start_n_top, n_ends=config.end_n_top)


def _best(probs: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Return the `n` best of each column: values and indices [n, columns]. Missing entries are 0."""
    values, index = probs.topk(min(n, len(probs)), dim=0)
    missing = (0, 0, 0, n - len(values))
    return nn.functional.pad(values, missing), nn.functional.pad(index, missing)
