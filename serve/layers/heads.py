"""Heads: they turn packed states into the output of each row, for all rows of one head at once.

They follow the head classes of `transformers` and use tensors of the same names. A family passes in their linear
layers. This module must not know the layers of the backbone, files, or which rows belong to other heads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from torch import Tensor, nn

from serve.layers.pooling import read_vectors
from serve.rows.pack import Pack
from serve.rows.row import RowOutput
from shared.messages import Pooling

FP32_BYTES = 4
BLOCK_BYTES = (
    64 * 2**20
)  # limit for the [masks, vocabulary] logits, or for the [masks, ids, width] decoder rows, that exist at a time
EXACT_IDS = (
    128  # number of largest logits per mask that are computed again in float32 when the model is in half precision
)


class OnePassHead(Protocol):
    """Anything that answers the rows of one head in the pass that reads them."""

    def __call__(self, states: Tensor, pack: Pack, members: Sequence[int]) -> list[RowOutput]:
        """Answer the packed rows `members`, in that order.

        Outputs are CPU tensors with the shapes of `Engine.forward`.
        """
        ...


class SequenceHead(nn.Module):
    """Classifies rows as XLMRobertaClassificationHead: dense, tanh and out_proj on the state of `<s>`."""

    def __init__(self, dense: nn.Module, out_proj: nn.Module) -> None:
        super().__init__()
        self.dense, self.out_proj = dense, out_proj

    def forward(self, states: Tensor, pack: Pack, members: Sequence[int]) -> list[RowOutput]:
        """Return `logits` [1, labels] of each row."""
        logits = self.out_proj(torch.tanh(self.dense(first_states(states, pack, members)))).float().cpu()
        return [{"logits": row} for row in torch.split(logits, 1)]


class ChoiceHead(SequenceHead):
    """Scores choices as XLMRobertaForMultipleChoice: dense and tanh on the state of `<s>`, then one logit [1, 1]."""


class TokenHead(nn.Module):
    """Classifies tokens as XLMRobertaForTokenClassification: one linear layer on every token."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, states: Tensor, pack: Pack, members: Sequence[int]) -> list[RowOutput]:
        """Return `logits` [tokens, labels] of each row."""
        logits = self.classifier(pack.tokens_of(states, members)).float().cpu()
        return [{"logits": row} for row in torch.split(logits, [pack.spans.lengths[m] for m in members])]


class SpanHead(nn.Module):
    """Finds answers as XLMRobertaForQuestionAnswering: a start logit and an end logit for every token."""

    def __init__(self, qa_outputs: nn.Module) -> None:
        super().__init__()
        self.qa_outputs = qa_outputs

    def forward(self, states: Tensor, pack: Pack, members: Sequence[int]) -> list[RowOutput]:
        """Return `start` and `end` [tokens] of each row."""
        logits = self.qa_outputs(pack.tokens_of(states, members)).float().cpu()
        rows = torch.split(logits, [pack.spans.lengths[m] for m in members])
        return [{"start": row[:, 0].contiguous(), "end": row[:, 1].contiguous()} for row in rows]


class Transform(nn.Module):
    """The layers of XLMRobertaLMHead before its decoder: dense, GELU, LayerNorm."""

    def __init__(self, dense: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.dense, self.norm = dense, norm

    def forward(self, states: Tensor) -> Tensor:
        """Return [n, width] for states [n, width]."""
        return torch.as_tensor(self.norm(F.gelu(self.dense(states))))


def log_sum_exp(logits: Tensor) -> Tensor:
    """Return log(sum(exp(logits))) [n] of logits [n, vocab_size]."""
    return logits.logsumexp(-1)


@dataclass(frozen=True, slots=True)
class Decoder:
    """The decoder of an LM head, as `transformers` names it: logits over the vocabulary.

    `score` maps [n, width] to [n, vocab_size].

    In half precision a logit of 20 is rounded to a multiple of 1/8, so that close ids tie. The largest `EXACT_IDS`
    logits of a Linear are therefore computed again in float32, for vocabularies of any size. `log_sum_exp` maps logits
    to [n]. `states_per_block` is the number of states that are scored at a time.
    """

    score: Callable[[Tensor], Tensor]
    vocab_size: int
    log_sum_exp: Callable[[Tensor], Tensor] = log_sum_exp
    states_per_block: int = 1

    def at_once(self, block_bytes: int) -> int:
        """Return the number of states whose logits fit into `block_bytes`, in whole blocks; at least one block."""
        n_blocks = block_bytes // (FP32_BYTES * self.vocab_size * self.states_per_block)
        return max(1, n_blocks) * self.states_per_block

    def __call__(self, hidden: Tensor) -> Tensor:
        """Return logits [n, vocab_size] in float32 of states [n, width]."""
        logits = self.score(hidden).float()
        if hidden.dtype == torch.float32 or not isinstance(self.score, nn.Linear):
            return logits
        largest = logits.topk(min(EXACT_IDS, self.vocab_size)).indices
        return logits.scatter_(1, largest, float32_logits(self.score, hidden, largest))


MakeDecoder = Callable[[nn.Module, int], Decoder]  # takes the module that scores, and the size of the vocabulary


def decoder_of(score: nn.Module, vocab_size: int) -> Decoder:
    """Make a decoder that computes in torch."""
    return Decoder(score, vocab_size)


class MaskedLmHead:
    """Predicts masked tokens as XLMRobertaLMHead, but only at the masked positions, and keeps only the best ids.

    At most `block_bytes` of logits exist at a time, or one block of the decoder. Logits of other tokens are never
    computed.
    """

    def __init__(
        self, transform: Callable[[Tensor], Tensor], decoder: Decoder, *, block_bytes: int = BLOCK_BYTES
    ) -> None:
        self.transform, self.decoder = transform, decoder
        self.at_once = decoder.at_once(block_bytes)

    def __call__(self, states: Tensor, pack: Pack, members: Sequence[int]) -> list[RowOutput]:
        """Return `top_ids`, `top_logits` [masks, k], `log_sum_exp` [masks] and any `target_logits` of each row."""
        rows = [pack.rows[member] for member in members]
        masks = [pack.spans.starts[m] + p for m, row in zip(members, rows, strict=True) for p in row.positions]
        hidden = self.transform(states[torch.tensor(masks).to(states.device)])
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
        logits = self.decoder(hidden)
        top_logits, top_ids = logits.topk(top_k)
        return top_ids.int(), top_logits, self.decoder.log_sum_exp(logits), logits.gather(1, targets)


class NextTokenHead:
    """The LM head of a generating model at the last token of each row. `serve.engine.next_token` reads its logits.

    `at_once` is the number of rows whose logits exist at a time: as many as fit into `block_bytes`, at least one block
    of the decoder.
    """

    def __init__(
        self, transform: Callable[[Tensor], Tensor], decoder: Decoder, *, block_bytes: int = BLOCK_BYTES
    ) -> None:
        self.transform, self.decoder = transform, decoder
        self.at_once = decoder.at_once(block_bytes)

    def last_states(self, states: Tensor, pack: Pack, members: Sequence[int]) -> Tensor:
        """Return the state of each row's last token, [rows, width]."""
        last = [pack.spans.starts[m] + pack.spans.lengths[m] - 1 for m in members]
        return states[torch.tensor(last).to(states.device)]

    def score(self, last: Tensor) -> Tensor:
        """Return the logits of the next token, float32 [rows, vocabulary] on the device, for states [rows, width]."""
        return self.decoder(self.transform(last))


class EmbedHead:
    """Returns the states of the backbone, pooled or per token. It has no tensors."""

    def __call__(self, states: Tensor, pack: Pack, members: Sequence[int]) -> list[RowOutput]:
        """Return `vectors` [1, width] of each row, or [tokens, width] when the row asks for them per token."""
        return [{"vectors": vectors} for vectors in read_vectors(states, pack, members)]


class LinearHead(nn.Module):
    """Classifies rows by one linear layer on the vector that `pooling` makes of all tokens, special ones included."""

    def __init__(self, linear: nn.Module, pooling: Pooling) -> None:
        super().__init__()
        self.linear, self.pooling = linear, pooling

    def forward(self, states: Tensor, pack: Pack, members: Sequence[int]) -> list[RowOutput]:
        """Return `logits` [1, labels] of each row."""
        vectors = pack.pooled(self.pooling, states, members).to(states.dtype)
        return [{"logits": row} for row in torch.split(self.linear(vectors).float().cpu(), 1)]


class SparseHead(nn.Module):
    """Weighs tokens as BGE-M3 (Chen et al., 2024): one linear layer on every token, and ReLU."""

    def __init__(self, linear: nn.Module) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, states: Tensor, pack: Pack, members: Sequence[int]) -> list[RowOutput]:
        """Return `token_weights` [tokens] of each row, none below 0."""
        weights = F.relu(self.linear(pack.tokens_of(states, members)).float())[:, 0].cpu().contiguous()
        return [{"token_weights": row} for row in torch.split(weights, [pack.spans.lengths[m] for m in members])]


Head = OnePassHead | NextTokenHead


def float32_logits(decoder: nn.Linear, hidden: Tensor, ids: Tensor, block_bytes: int = BLOCK_BYTES) -> Tensor:
    """Return the logits [n, ids] of the ids `ids` [n, ids], computed in float32.

    Rows of the decoder are gathered as float32 [n, ids, width]. At most `block_bytes` of them exist at a time, or those
    of one state.
    """
    at_once = max(1, block_bytes // (FP32_BYTES * ids.shape[1] * hidden.shape[1]))
    blocks = zip(torch.split(hidden, at_once), torch.split(ids, at_once), strict=True)
    chosen = torch.cat([decoder.weight[some].float() @ own.float()[:, :, None] for own, some in blocks])
    return torch.as_tensor(chosen[:, :, 0] + decoder.bias[ids].float())


def first_states(states: Tensor, pack: Pack, members: Sequence[int]) -> Tensor:
    """Return the state of each row's first token, [rows, width]."""
    return states[torch.tensor([pack.spans.starts[member] for member in members]).to(states.device)]


def _fill_output(k: int, n_targets: int, ids: Tensor, logits: Tensor, total: Tensor, targets: Tensor) -> RowOutput:
    output = {"top_ids": ids[:, :k], "top_logits": logits[:, :k], "log_sum_exp": total}
    return output | ({"target_logits": targets[:, :n_targets]} if n_targets else {})


def _padded(lists: Sequence[Sequence[int]]) -> Tensor:
    """Stack lists of ids as int64 [lists, longest]. Short lists are filled with id 0."""
    longest = max(map(len, lists))
    return torch.tensor([[*ids, *[0] * (longest - len(ids))] for ids in lists], dtype=torch.int64)
