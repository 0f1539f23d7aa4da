"""XLM's question answering with a beam: the best starts, and for each of them the best ends.

Follows `transformers` XLMSQuADHead (after XLNet; Yang et al. 2019) with neither p_mask nor cls_index, so the
classification token is a row's last. Must not know the backbone, files or what an answer is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import XLMConfig

from serve.layers.norms import norm_of
from serve.layers.parts import ModelParts
from serve.rows.pack import Pack
from serve.rows.row import RowOutput


@dataclass(frozen=True, slots=True)
class BeamLayers:
    """The layers of XLMSQuADHead: `end_dense`, `class_dense` read two states side by side, [.., 2 * width]."""

    start: nn.Module
    end_dense: nn.Module
    end_norm: nn.Module
    end_out: nn.Module
    class_dense: nn.Module
    class_out: nn.Module


class BeamHead(nn.Module):
    """Outputs by the reference's names and shapes, a row each; its `log_probs` are probabilities, as the reference's.

    A row shorter than a beam, at which the reference fails, has the missing places at the end of that beam:
    index 0 with probability 0. States exist for one row's [tokens, starts, 2 * width] at a time.
    """

    def __init__(self, layers: BeamLayers, *, n_starts: int, n_ends: int) -> None:
        super().__init__()
        self.start, self.end_dense, self.end_norm = layers.start, layers.end_dense, layers.end_norm
        self.end_out, self.class_dense, self.class_out = layers.end_out, layers.class_dense, layers.class_out
        self.n_starts, self.n_ends = n_starts, n_ends

    def forward(self, states: Tensor, pack: Pack, members: Sequence[int]) -> list[RowOutput]:
        """Answer each row.

        `start_top_log_probs`, `start_top_index` are [1, starts], `end_top_log_probs`, `end_top_index`
        [1, ends * starts] with the best end of each start first, `cls_logits` is [1].
        """
        rows = torch.split(pack.tokens_of(states, members), [pack.spans.lengths[member] for member in members])
        return [self._answer(row) for row in rows]

    def _answer(self, row: Tensor) -> RowOutput:
        start_probs = self.start(row).squeeze(-1).float().softmax(0)
        best_starts, start_index = _best(start_probs[:, None], self.n_starts)
        starts = row[start_index[:, 0]]
        end_probs = self._end_logits(row, starts).softmax(0)
        best_ends, end_index = _best(end_probs, self.n_ends)
        found = min(self.n_starts, len(row))  # starts past the row's own have no ends either
        best_ends[:, found:], end_index[:, found:] = 0, 0
        return {
            "start_top_log_probs": best_starts.T.cpu(),
            "start_top_index": start_index.T.int().cpu(),
            "end_top_log_probs": best_ends.reshape(1, -1).cpu(),
            "end_top_index": end_index.reshape(1, -1).int().cpu(),
            "cls_logits": self._class_logit(row, start_probs).cpu(),
        }

    def _end_logits(self, row: Tensor, starts: Tensor) -> Tensor:
        """Return the logits [tokens, starts] of each token being the end of an answer from each start."""
        shape = (len(row), len(starts), row.shape[1])
        pairs = torch.cat([row[:, None].expand(shape), starts[None].expand(shape)], dim=-1)
        hidden = self.end_norm(torch.tanh(self.end_dense(pairs)))
        return torch.as_tensor(self.end_out(hidden)).squeeze(-1).float()

    def _class_logit(self, row: Tensor, start_probs: Tensor) -> Tensor:
        """Return the logit [1] of the question having no answer in the text."""
        expected_start = (start_probs @ row.float()).to(row.dtype)
        pair = torch.cat([expected_start, row[-1]])[None]
        return torch.as_tensor(self.class_out(torch.tanh(self.class_dense(pair)))).flatten().float()


def beam_shapes(at: str, width: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor of XLMSQuADHead; their names begin with `at`."""
    return {
        f"{at}.start_logits.dense.weight": (1, width),
        f"{at}.start_logits.dense.bias": (1,),
        f"{at}.end_logits.dense_0.weight": (width, 2 * width),
        f"{at}.end_logits.dense_0.bias": (width,),
        f"{at}.end_logits.LayerNorm.weight": (width,),
        f"{at}.end_logits.LayerNorm.bias": (width,),
        f"{at}.end_logits.dense_1.weight": (1, width),
        f"{at}.end_logits.dense_1.bias": (1,),
        f"{at}.answer_class.dense_0.weight": (width, 2 * width),
        f"{at}.answer_class.dense_0.bias": (width,),
        f"{at}.answer_class.dense_1.weight": (1, width),
    }


def build_beam(at: str, tensors: Mapping[str, Tensor], config: XLMConfig, parts: ModelParts) -> BeamHead:
    """Make a beam head of the tensors whose names begin with `at`, with the beams of the configuration."""

    def linear(name: str) -> nn.Module:
        return parts.linear(f"{at}.{name}", tensors[f"{at}.{name}.weight"], tensors.get(f"{at}.{name}.bias"))

    norm = f"{at}.end_logits.LayerNorm"
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
    """Return the `n` best of each column, values and indices [n, columns]; places past the column's length hold 0."""
    values, index = probs.topk(min(n, len(probs)), dim=0)
    missing = (0, 0, 0, n - len(values))
    return nn.functional.pad(values, missing), nn.functional.pad(index, missing)
