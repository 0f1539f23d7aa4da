"""Assembles feature extraction of a sparse head: the weights of the tokens that a text has, each token once.

It follows BGE-M3 (Chen et al., 2024) as FlagEmbedding computes it. Works on one weight for each token of each window.
Must not know how texts become tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from functions.messages import TextInput, Window
from functions.tasks.feature_extraction import Parameters, Weight
from functions.tasks.postprocessing.output_rows import Answer, AnswerContext, RowsPerWindow
from functions.tasks.task import Assembler
from functions.tokenizers.tokenizer import Tokenizer

PAD = "<pad>"


def outputs(parameters: Parameters, target_ids: Sequence[int]) -> Mapping[str, RowsPerWindow]:
    """Name the tensor to read: `token_weights` [tokens], none below 0."""
    del parameters, target_ids
    return {"token_weights": "token"}


def value(
    context: AnswerContext[Parameters], item: TextInput, windows: Sequence[Window], answers: Sequence[Answer]
) -> list[Weight]:
    """Return `token_id`, `token` and `weight` of each token of a text, the heaviest first, then by id.

    A token that occurs several times, in any window, has its largest weight. Tokens of weight 0 are left out, and so
    are the special tokens for start, end, padding and unknown pieces, also where the text itself spells them.
    """
    del item
    unused = _unused(context.tokenizer)
    weights: dict[int, float] = {}
    for window, answer in zip(windows, answers, strict=True):
        for token_id, [weight] in zip(window.input_ids, answer["token_weights"], strict=True):
            if weight > weights.get(token_id, 0.0) and token_id not in unused:
                weights[token_id] = weight
    ids = sorted(weights, key=lambda token_id: (-weights[token_id], token_id))
    named = zip(ids, context.tokenizer.pieces(ids), strict=True)
    return [{"token_id": token_id, "token": token, "weight": weights[token_id]} for token_id, token in named]


def _unused(tokenizer: Tokenizer) -> frozenset[int | None]:
    layout = tokenizer.layout
    return frozenset((*layout.first, *layout.middle, *layout.last, tokenizer.unk_id, tokenizer.id_of(PAD)))


ASSEMBLER = Assembler(outputs, value)
