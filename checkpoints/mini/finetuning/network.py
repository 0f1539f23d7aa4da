"""Defines the model as it is trained: reference weights, a forward pass over padded rows, and the heads.

The weights are those of `transformers.XLMRobertaForMaskedLM` (names, tied decoder). The forward pass here casts fp32
weights to bf16 where that is fast, and skips what training does not need. Rows of one batch have similar lengths.
Must not know data sets or losses.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn
from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM

# Products in bf16 are fast only where the processor has them; elsewhere oneDNN imitates them.
MATH = torch.bfloat16 if torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32  # noqa: SLF001 - torch has no public name
PAD, N_BEFORE = 1, 2  # positions count from pad + 1
SEQUENCE_HEADS = {"sentiment": 3, "nli": 3}  # and `language`, whose labels the data gives


def config(vocab_size: int, n_layers: int) -> XLMRobertaConfig:
    """Return the configuration: the shape of multilingual-e5-small as an XLM-RoBERTa of `n_layers` layers."""
    return XLMRobertaConfig(
        vocab_size=vocab_size, hidden_size=384, num_hidden_layers=n_layers, num_attention_heads=12,
        intermediate_size=1536, max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-12,
        hidden_act="gelu", pad_token_id=PAD, bos_token_id=0, eos_token_id=2,
    )  # fmt: skip


class SequenceHead(nn.Module):
    """The classification head of the reference: dense, tanh, out_proj on the `<s>` state, with dropout before each."""

    def __init__(self, width: int, n_labels: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, n_labels)

    def forward(self, states: Tensor, drop: float = 0.0) -> Tensor:
        """Return the logits `[texts, labels]` of `<s>` states `[texts, width]`."""
        hidden = torch.tanh(self.dense(F.dropout(states, drop, self.training)))
        return torch.as_tensor(self.out_proj(F.dropout(hidden, drop, self.training)))


class Network(nn.Module):
    """The backbone and all heads. `topic` reads the mean of all token states, the other classifiers read `<s>`."""

    def __init__(self, vocab_size: int, n_layers: int, n_languages: int, *, drop: float = 0.1) -> None:
        super().__init__()
        self.config = config(vocab_size, n_layers)
        width = self.config.hidden_size
        self.reference = XLMRobertaForMaskedLM(self.config)
        self.heads = nn.ModuleDict({
            "topic": nn.Linear(width, 7), "language": SequenceHead(width, n_languages),
            "entities": nn.Linear(width, 7), "answers": nn.Linear(width, 2), "choice": nn.Linear(width, 1),
            **{name: SequenceHead(width, n_labels) for name, n_labels in SEQUENCE_HEADS.items()},
        })  # fmt: skip
        self.pooler = nn.Linear(width, width)  # of multiple choice
        self.drop = drop
        self.n_fixed = 0  # layers, and the embeddings before them, that get no gradient in this pass

    def encode(self, ids: Tensor, dtype: torch.dtype = MATH) -> Tensor:
        """Return the last states `[rows, tokens, width]` of padded ids, in `dtype`."""
        return self.layers(ids, dtype)[-1]

    def layers(self, ids: Tensor, dtype: torch.dtype = MATH) -> list[Tensor]:
        """Return the states after the embeddings and after every layer."""
        real = ids != PAD
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.n_fixed):
            states = [self.embedded(ids, dtype)]
        bias = None if bool(real.all()) else (~real)[:, None, None, :].to(dtype) * -1e4
        for n, layer in enumerate(self.reference.roberta.encoder.layer):
            with torch.set_grad_enabled(torch.is_grad_enabled() and n >= self.n_fixed):
                states.append(block(states[-1], layer, bias))
        return states

    def embedded(self, ids: Tensor, dtype: torch.dtype) -> Tensor:
        """Return the states that the first layer reads."""
        embeddings = self.reference.roberta.embeddings
        positions = torch.arange(N_BEFORE, N_BEFORE + ids.shape[1])
        hidden = F.embedding(ids, embeddings.word_embeddings.weight, padding_idx=PAD)
        hidden = hidden + embeddings.position_embeddings.weight[positions]
        hidden = (hidden + embeddings.token_type_embeddings.weight[0]).to(dtype)
        return normal(hidden, embeddings.LayerNorm)

    def predict(self, states: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return the logits over the vocabulary of states `[positions, width]`."""
        head = self.reference.lm_head
        hidden = normal(F.gelu(linear(states, head.dense)), head.layer_norm)
        words = self.reference.roberta.embeddings.word_embeddings.weight if weight is None else weight
        return F.linear(hidden, words.to(states.dtype), head.bias.to(states.dtype))

    def choose(self, first: Tensor) -> Tensor:
        """Return one logit for each `<s>` state, as multiple choice has it."""
        pooled = torch.tanh(self.pooler(first))
        return torch.as_tensor(self.heads["choice"](F.dropout(pooled, self.drop, self.training)))[:, 0]


def mean(states: Tensor, ids: Tensor) -> Tensor:
    """Return the fp32 mean `[rows, width]` of the states of all tokens but padding."""
    real = (ids != PAD).unsqueeze(-1)
    return (states.float() * real).sum(1) / real.sum(1)


def linear(hidden: Tensor, layer: nn.Linear) -> Tensor:
    """Apply a linear layer in the dtype of `hidden`."""
    return F.linear(hidden, layer.weight.to(hidden.dtype), layer.bias.to(hidden.dtype))


def normal(hidden: Tensor, layer: nn.LayerNorm) -> Tensor:
    """Apply layer normalization in the dtype of `hidden`."""
    weight, bias = layer.weight.to(hidden.dtype), layer.bias.to(hidden.dtype)
    return F.layer_norm(hidden, layer.normalized_shape, weight, bias, layer.eps)


def block(hidden: Tensor, layer: Any, bias: Tensor | None) -> Tensor:
    """Run one post-norm transformer layer of the reference on `[rows, tokens, width]`."""
    own, rows, tokens = layer.attention.self, hidden.shape[0], hidden.shape[1]
    weight = torch.cat([own.query.weight, own.key.weight, own.value.weight]).to(hidden.dtype)
    joined = F.linear(hidden, weight, torch.cat([own.query.bias, own.key.bias, own.value.bias]).to(hidden.dtype))
    query, key, value = joined.view(rows, tokens, 3, own.num_attention_heads, -1).permute(2, 0, 3, 1, 4)
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    scores = scores if bias is None else scores + bias
    context = torch.softmax(scores, -1) @ value
    context = linear(context.transpose(1, 2).reshape(rows, tokens, -1), layer.attention.output.dense)
    hidden = normal(hidden + context, layer.attention.output.LayerNorm)
    inner = linear(F.gelu(linear(hidden, layer.intermediate.dense)), layer.output.dense)
    return normal(hidden + inner, layer.output.LayerNorm)
