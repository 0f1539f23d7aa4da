"""Defines the model as it is trained: reference weights, a packed bf16 forward pass, the losses.

Must not know data sets.
The weights are those of `transformers.XLMRobertaForMaskedLM` (names, initialization, tied decoder). The forward pass
here runs several texts in one row: attention is block-diagonal, and positions start again for each text. This saves
padding. Blocks of one fixed shape are compiled, which needs a C++ compiler. The losses are in nats: masked tokens
(Devlin et al. 2019), the task heads, and the teacher's score of each token (distillation: Hinton et al. 2015).
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn
from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM

MATH = torch.bfloat16
IGNORED = -100
STEADY = (28, 112)  # rows and width of nearly every batch; blocks are compiled for this shape only
SHARPNESS = 8.0  # logits are the teacher's scores times this


def config() -> XLMRobertaConfig:
    """Return the configuration: 4 layers of width 256, 32,000 pieces, and the limits of XLM-R."""
    return XLMRobertaConfig(
        vocab_size=32_000, hidden_size=256, num_hidden_layers=4, num_attention_heads=4, intermediate_size=1024,
        max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5, hidden_act="gelu",
        pad_token_id=1, bos_token_id=0, eos_token_id=2,
    )  # fmt: skip


@dataclass(frozen=True)
class Batch:
    """Packed texts.

    `ids`, `positions` and `segments` are [rows, width]; segment 0 is padding. `starts` and the labels are [texts]; a
    start is the flat index of `<s>`. `masked` are flat indices of masked tokens, whose ids are `targets`. `topics` are
    label distributions; all zeros mean no label. `tags` has one label for each flat token. Other missing labels are
    IGNORED.
    """

    ids: Tensor
    positions: Tensor
    segments: Tensor
    texts: Tensor  # [rows * width], the text that a token belongs to; the largest number is padding
    masked: Tensor
    targets: Tensor
    starts: Tensor
    topics: Tensor
    languages: Tensor
    sentiments: Tensor
    tags: Tensor
    votes: Tensor  # [rows * width, 7], the teacher's score of each token
    voting: Tensor  # [rows * width], whether the token has a score


class Head(nn.Module):
    """The classification head of the reference: dense, tanh, out_proj on the `<s>` state, with dropout before each."""

    def __init__(self, width: int, labels: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, labels)

    def forward(self, states: Tensor, drop: float) -> Tensor:
        """Return the logits `[texts, labels]` of `<s>` states `[texts, width]`."""
        hidden = torch.tanh(self.dense(F.dropout(states, drop, self.training)))
        return torch.as_tensor(self.out_proj(F.dropout(hidden, drop, self.training)))


class Mini(nn.Module):
    """The backbone, the task heads, and the topic votes of tokens. The votes help in training and are not shipped."""

    def __init__(self, languages: int, drop: float = 0.1) -> None:
        super().__init__()
        self.config = config()
        width = self.config.hidden_size
        self.reference = XLMRobertaForMaskedLM(self.config)
        self.heads = nn.ModuleDict({
            "topic": Head(width, 7), "language": Head(width, languages), "sentiment": Head(width, 3),
            "entities": nn.Linear(width, 7),
        })  # fmt: skip
        self.vote = nn.Linear(width, 7)
        self.drop = drop

    def encode(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the states of every token after and before the last layer, `[rows * width, hidden]`, bf16."""
        embeddings = self.reference.roberta.embeddings
        hidden = F.embedding(batch.ids, embeddings.word_embeddings.weight, padding_idx=1)
        hidden = hidden + F.embedding(batch.positions, embeddings.position_embeddings.weight, padding_idx=1)
        hidden = (hidden + embeddings.token_type_embeddings.weight[0]).to(MATH)
        hidden = normal(hidden, embeddings.LayerNorm)
        mask = (batch.segments[:, None, :, None] == batch.segments[:, None, None, :]).to(MATH)
        bias = (1.0 - mask) * -1e4
        before = hidden
        run = compiled if hidden.shape[:2] == STEADY and torch.is_grad_enabled() else block
        for layer in self.reference.roberta.encoder.layer:
            before, hidden = hidden, run(hidden, layer, bias)
        return hidden.reshape(-1, hidden.shape[-1]), before.reshape(-1, hidden.shape[-1])

    def losses(self, batch: Batch, smoothing: float = 0.1, *, masked: bool = True) -> dict[str, Tensor]:
        """Return the mean loss of each objective in the batch. With `masked` also that of masked tokens."""
        states, before = self.encode(batch)
        first = states[batch.starts].float()
        found = {"mlm": self.masked(states[batch.masked], batch.targets)} if masked else {}
        has = batch.topics.sum(1) > 0
        if has.any():
            wanted = batch.topics[has]
            found["topic"] = F.cross_entropy(self.heads["topic"](first[has], self.drop), wanted)
            votes = self.vote(before.float())
            found["vote"] = F.mse_loss(votes[batch.voting], batch.votes[batch.voting])
            total = SHARPNESS * pooled(votes, batch.texts, len(batch.starts))[has]
            found["mean_topic"] = F.cross_entropy(total, wanted)
        for name, labels in (("language", batch.languages), ("sentiment", batch.sentiments)):
            at = labels != IGNORED
            if at.any():
                logits = self.heads[name](first[at], self.drop)
                found[name] = F.cross_entropy(logits, labels[at], label_smoothing=smoothing / 2)
        tagged = batch.tags != IGNORED
        if tagged.any():
            logits = self.heads["entities"](F.dropout(states[tagged].float(), self.drop, self.training))
            found["entities"] = F.cross_entropy(logits, batch.tags[tagged])
        return found

    def masked(self, states: Tensor, targets: Tensor) -> Tensor:
        """Return the cross-entropy at the masked positions. Only these tokens are projected to 32,000 pieces."""
        head = self.reference.lm_head
        hidden = normal(F.gelu(linear(states, head.dense)), head.layer_norm)
        weight = self.reference.roberta.embeddings.word_embeddings.weight.to(MATH)
        return F.cross_entropy(F.linear(hidden, weight, head.bias.to(MATH)), targets).float()


def linear(hidden: Tensor, layer: nn.Linear) -> Tensor:
    """Apply a linear layer in bf16 on fp32 master weights."""
    return F.linear(hidden, layer.weight.to(MATH), layer.bias.to(MATH))


def normal(hidden: Tensor, layer: nn.LayerNorm) -> Tensor:
    """Apply layer normalization in bf16 on fp32 master weights."""
    return F.layer_norm(hidden, layer.normalized_shape, layer.weight.to(MATH), layer.bias.to(MATH), layer.eps)


def block(hidden: Tensor, layer: Any, bias: Tensor) -> Tensor:
    """Run one post-norm transformer layer of the reference on `[rows, width, hidden]`."""
    own, rows, width = layer.attention.self, hidden.shape[0], hidden.shape[1]
    weight = torch.cat([own.query.weight, own.key.weight, own.value.weight]).to(MATH)
    joined = F.linear(hidden, weight, torch.cat([own.query.bias, own.key.bias, own.value.bias]).to(MATH))
    query, key, value = joined.view(rows, width, 3, own.num_attention_heads, -1).permute(2, 0, 3, 1, 4)
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2) + bias  # faster on a CPU than the fused kernel
    context = torch.softmax(scores, -1) @ value
    context = linear(context.transpose(1, 2).reshape(rows, width, -1), layer.attention.output.dense)
    hidden = normal(hidden + context, layer.attention.output.LayerNorm)
    inner = linear(F.gelu(linear(hidden, layer.intermediate.dense)), layer.output.dense)
    return normal(hidden + inner, layer.output.LayerNorm)


compiled = torch.compile(block, dynamic=False)  # takes a tenth less time a step on a CPU


def pooled(states: Tensor, texts: Tensor, count: int) -> Tensor:
    """Return the mean state of each text, fp32 `[texts, hidden]`."""
    total = torch.zeros(count + 1, states.shape[1]).index_add(0, texts, states.float())
    sizes = torch.bincount(texts, minlength=count + 1).clamp(min=1)
    return (total / sizes[:, None])[:count]
