"""Heads: packed states in, each row's output out; one head answers all of its rows at once.

Follow the reference's head classes on the reference's tensors. Must not know the backbone's
layers, files, or which rows belong to other heads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from torch import Tensor, nn
from transformers import XLMRobertaConfig

from serve.pack import Pack
from serve.rows import RowOutput
from shared.catalog import Head as CatalogHead

FP32_BYTES = 4
BLOCK_BYTES = 64 * 2**20  # of [masks, vocabulary] logits
Shapes = Mapping[str, tuple[int, ...]]


class Head(Protocol):
    """What answers the rows of one head."""

    def __call__(self, states: Tensor, pack: Pack, members: Sequence[int]) -> list[RowOutput]:
        """Answer the packed rows `members`, in that order; outputs are on the CPU. Shapes as Engine.forward says."""
        ...


class SequenceHead(nn.Module):
    """XLMRobertaClassificationHead: dense, tanh, out_proj on the state of `<s>`."""

    def __init__(self, dense: nn.Linear, out_proj: nn.Linear) -> None:
        super().__init__()
        self.dense, self.out_proj = dense, out_proj

    def forward(self, states: Tensor, pack: Pack, members: Sequence[int]) -> list[RowOutput]:
        """Return `logits` [1, labels] of each row."""
        first = torch.tensor([pack.spans.starts[member] for member in members]).to(states.device)
        logits = self.out_proj(torch.tanh(self.dense(states[first]))).float().cpu()
        return [{"logits": row} for row in torch.split(logits, 1)]


class TokenHead(nn.Module):
    """The linear classifier of XLMRobertaForTokenClassification on every token."""

    def __init__(self, classifier: nn.Linear) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, states: Tensor, pack: Pack, members: Sequence[int]) -> list[RowOutput]:
        """Return `logits` [tokens, labels] of each row."""
        logits = self.classifier(pack.tokens_of(states, members)).float().cpu()
        return [{"logits": row} for row in torch.split(logits, [pack.spans.lengths[m] for m in members])]


class MaskedLmHead(nn.Module):
    """XLMRobertaLMHead at masked positions only, reduced to its best ids where it ran.

    Logits exist for as many masks at a time as `block_bytes` hold (at least one), never for all tokens.
    """

    def __init__(
        self, dense: nn.Linear, norm: nn.LayerNorm, decoder: nn.Linear, *, block_bytes: int = BLOCK_BYTES
    ) -> None:
        super().__init__()
        self.dense, self.norm, self.decoder = dense, norm, decoder
        self.at_once = max(1, block_bytes // (FP32_BYTES * decoder.out_features))

    def forward(self, states: Tensor, pack: Pack, members: Sequence[int]) -> list[RowOutput]:
        """Return `top_ids`, `top_logits` [masks, k], `log_sum_exp` [masks] and any `target_logits` of each row."""
        rows = [pack.rows[member] for member in members]
        masks = [pack.spans.starts[m] + p for m, row in zip(members, rows, strict=True) for p in row.positions]
        hidden = self.norm(F.gelu(self.dense(states[torch.tensor(masks).to(states.device)])))
        targets = _padded([row.target_ids for row in rows for _ in row.positions]).to(states.device)
        top_k = max(row.top_k for row in rows)
        blocks = [
            self._read(some, wanted, top_k)
            for some, wanted in zip(torch.split(hidden, self.at_once), torch.split(targets, self.at_once), strict=True)
        ]
        counts = [len(row.positions) for row in rows]
        columns = [torch.split(torch.cat(column).cpu(), counts) for column in zip(*blocks, strict=True)]
        return [_fill_output(row.top_k, len(row.target_ids), *own) for row, *own in zip(rows, *columns, strict=True)]

    def _read(self, hidden: Tensor, targets: Tensor, top_k: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        logits = self.decoder(hidden).float()
        top_logits, top_ids = logits.topk(top_k)
        return top_ids.int(), top_logits, logits.logsumexp(-1), logits.gather(1, targets)


class MeanPool:
    """Mean of a row's states, special tokens included, as sentence-transformers pools an unpadded text."""

    def __call__(self, states: Tensor, pack: Pack, members: Sequence[int]) -> list[RowOutput]:
        """Return `vectors` [1, width] of each row, or [tokens, width] where the row asks per token."""
        lengths = torch.tensor([pack.spans.lengths[member] for member in members])
        tokens = pack.tokens_of(states, members).float()
        pooled = torch.segment_reduce(tokens, "mean", lengths=lengths.to(states.device), axis=0).cpu()
        apart = tokens.cpu() if any(pack.rows[m].per_token for m in members) else tokens
        outputs: list[RowOutput] = []
        for index, (member, own) in enumerate(zip(members, torch.split(apart, lengths.tolist()), strict=True)):
            row = pack.rows[member]
            vectors = own if row.per_token else pooled[index : index + 1]
            outputs.append({"vectors": F.normalize(vectors) if row.normalize else vectors})
        return outputs


def expected_shapes(head: CatalogHead, found: Shapes, config: XLMRobertaConfig) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor a head reads, by its name in the checkpoint.

    The number of labels is the catalog's, or, where it names none, the checkpoint's own.
    """
    at, width = head.prefix, config.hidden_size
    if head.task == "text-classification":
        n_labels = len(head.labels) or found.get(f"{at}.out_proj.weight", (0,))[0]
        return {
            **_linear(f"{at}.dense", width, width),
            **_linear(f"{at}.out_proj", n_labels, width),
        }
    if head.task == "token-classification":
        n_labels = len(head.labels) or found.get(f"{at}.weight", (0,))[0]
        return _linear(at, n_labels, width)
    if head.task == "fill-mask":
        norm = {f"{at}.layer_norm.weight": (width,), f"{at}.layer_norm.bias": (width,)}
        return {**_linear(f"{at}.dense", width, width), **norm, **_decoder(at, found, config)}
    return {}


def build_head(head: CatalogHead, tensors: Mapping[str, Tensor], words: Tensor, eps: float) -> Head:
    """Make a head from checkpoint tensors; `words` [vocabulary, width] is the decoder where it is tied."""
    at = head.prefix
    if head.task == "text-classification":
        return SequenceHead(_layer(tensors, f"{at}.dense"), _layer(tensors, f"{at}.out_proj"))
    if head.task == "token-classification":
        return TokenHead(_layer(tensors, at))
    if head.task == "fill-mask":
        norm = nn.LayerNorm(words.shape[1], eps=eps)
        norm.load_state_dict({kind: tensors[f"{at}.layer_norm.{kind}"] for kind in ("weight", "bias")}, assign=True)
        stored = tensors.get(f"{at}.decoder.weight")
        weight = words if stored is None or torch.equal(stored, words) else stored  # some store a tied decoder twice
        bias = tensors[f"{at}.decoder.bias" if f"{at}.decoder.bias" in tensors else f"{at}.bias"]
        return MaskedLmHead(_layer(tensors, f"{at}.dense"), norm, _linear_of(weight, bias))
    return MeanPool()


def _decoder(at: str, found: Shapes, config: XLMRobertaConfig) -> dict[str, tuple[int, ...]]:
    """Tensors of the decoder: its own weight where stored or untied, its bias under either of two names."""
    shapes: dict[str, tuple[int, ...]] = {}
    if f"{at}.decoder.weight" in found or not config.tie_word_embeddings:
        shapes[f"{at}.decoder.weight"] = (config.vocab_size, config.hidden_size)
    bias = f"{at}.decoder.bias" if f"{at}.decoder.bias" in found else f"{at}.bias"
    return shapes | {bias: (config.vocab_size,)}


def _fill_output(k: int, n_targets: int, ids: Tensor, logits: Tensor, total: Tensor, targets: Tensor) -> RowOutput:
    output = {"top_ids": ids[:, :k], "top_logits": logits[:, :k], "log_sum_exp": total}
    return output | ({"target_logits": targets[:, :n_targets]} if n_targets else {})


def _padded(lists: Sequence[Sequence[int]]) -> Tensor:
    """Stack lists of ids as int64 [lists, longest], short ones filled with id 0."""
    longest = max(map(len, lists))
    return torch.tensor([[*ids, *[0] * (longest - len(ids))] for ids in lists], dtype=torch.int64)


def _layer(tensors: Mapping[str, Tensor], name: str) -> nn.Linear:
    return _linear_of(tensors[f"{name}.weight"], tensors[f"{name}.bias"])


def _linear_of(weight: Tensor, bias: Tensor) -> nn.Linear:
    with torch.device("meta"):
        layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.load_state_dict({"weight": weight, "bias": bias}, assign=True)
    return layer


def _linear(name: str, out_width: int, in_width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out_width, in_width), f"{name}.bias": (out_width,)}
