"""The model as it is trained: reference weights, a packed bf16 forward pass, the losses; knows nothing of data sets.

Weights live in `transformers.XLMRobertaForMaskedLM` (names, initialisation, tied decoder); the forward pass here runs
several texts in one row (block-diagonal attention, positions restarted), which saves the padding; blocks of steady
shape are compiled, which takes a C++ compiler. Losses, in nats: masked tokens (Devlin et al. 2019), the task heads, and
what a teacher says that each token speaks for (distillation: Hinton et al. 2015).
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from torch import Tensor, nn
from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM

MATH = torch.bfloat16
IGNORED = -100
STEADY = (28, 112)  # rows and width of nearly every batch: blocks are compiled for it alone
SHARPNESS = 8.0  # teacher scores times this are logits


def config() -> XLMRobertaConfig:
    """4 layers of width 256, 32,000 pieces; limits as in XLM-R."""
    return XLMRobertaConfig(
        vocab_size=32_000, hidden_size=256, num_hidden_layers=4, num_attention_heads=4, intermediate_size=1024,
        max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5, hidden_act="gelu",
        pad_token_id=1, bos_token_id=0, eos_token_id=2,
    )  # fmt: skip


@dataclass(frozen=True)
class Batch:
    """Packed texts: `[rows, width]` ids, positions, segments (0 pads); `[texts]` starts (flat `<s>` index), labels.

    `masked` are flat indices of masked tokens with `targets`; `topics` are label distributions, all zero where there is
    none; `tags` are per flat token; missing labels are IGNORED.
    """

    ids: Tensor
    positions: Tensor
    segments: Tensor
    texts: Tensor  # [rows * width], the text a token belongs to; the last number is padding
    masked: Tensor
    targets: Tensor
    starts: Tensor
    topics: Tensor
    languages: Tensor
    sentiments: Tensor
    tags: Tensor
    votes: Tensor  # [rows * width, 7], what the language's teacher says that a token speaks for
    voting: Tensor  # [rows * width], whether it says anything


class Head(nn.Module):
    """The reference's classification head: dense, tanh, out_proj on the `<s>` state (dropout before each)."""

    def __init__(self, width: int, labels: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, labels)

    def forward(self, states: Tensor, drop: float) -> Tensor:
        """Logits `[texts, labels]` of `<s>` states `[texts, width]`."""
        hidden = torch.tanh(self.dense(F.dropout(states, drop, self.training)))
        return torch.as_tensor(self.out_proj(F.dropout(hidden, drop, self.training)))


class Mini(nn.Module):
    """Backbone, task heads, and an aid that is not shipped: the topic votes of tokens."""

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
        """States of every token after the last layer and before it, `[rows * width, hidden]`, bf16."""
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
        """Mean loss of each objective that the batch holds; with `masked`, also of its masked tokens."""
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
        """Cross-entropy at the masked positions only; the 32,000-way projection runs on no other token."""
        head = self.reference.lm_head
        hidden = normal(F.gelu(linear(states, head.dense)), head.layer_norm)
        weight = self.reference.roberta.embeddings.word_embeddings.weight.to(MATH)
        return F.cross_entropy(F.linear(hidden, weight, head.bias.to(MATH)), targets).float()


def linear(hidden: Tensor, layer: nn.Linear) -> Tensor:
    """Apply a linear layer in bf16 on fp32 master weights."""
    return F.linear(hidden, layer.weight.to(MATH), layer.bias.to(MATH))


def normal(hidden: Tensor, layer: nn.LayerNorm) -> Tensor:
    """Apply layer normalisation in bf16 on fp32 master weights."""
    return F.layer_norm(hidden, layer.normalized_shape, layer.weight.to(MATH), layer.bias.to(MATH), layer.eps)


def block(hidden: Tensor, layer: Any, bias: Tensor) -> Tensor:
    """One post-norm transformer layer of the reference on `[rows, width, hidden]`."""
    own, rows, width = layer.attention.self, hidden.shape[0], hidden.shape[1]
    weight = torch.cat([own.query.weight, own.key.weight, own.value.weight]).to(MATH)
    joined = F.linear(hidden, weight, torch.cat([own.query.bias, own.key.bias, own.value.bias]).to(MATH))
    query, key, value = joined.view(rows, width, 3, own.num_attention_heads, -1).permute(2, 0, 3, 1, 4)
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2) + bias  # on a CPU faster than the fused kernel
    context = torch.softmax(scores, -1) @ value
    context = linear(context.transpose(1, 2).reshape(rows, width, -1), layer.attention.output.dense)
    hidden = normal(hidden + context, layer.attention.output.LayerNorm)
    inner = linear(F.gelu(linear(hidden, layer.intermediate.dense)), layer.output.dense)
    return normal(hidden + inner, layer.output.LayerNorm)


compiled = torch.compile(block, dynamic=False)  # a tenth less time a step on a CPU


def pooled(states: Tensor, texts: Tensor, count: int) -> Tensor:
    """Mean state of each text, fp32 `[texts, hidden]`."""
    total = torch.zeros(count + 1, states.shape[1]).index_add(0, texts, states.float())
    sizes = torch.bincount(texts, minlength=count + 1).clamp(min=1)
    return (total / sizes[:, None])[:count]
