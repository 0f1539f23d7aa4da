"""Best guesses of each mask -> tokens with probabilities and the text they make. Knows no windows' making."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from functions.tasks.postprocessing.output_rows import Answer, AnswerContext, Unit, Vector, per_mask, read_back
from functions.tasks.schemas.fill_mask import Parameters
from shared.messages import TextInput, Window

Guess = dict[str, object]


def outputs(parameters: Parameters, target_ids: Sequence[int]) -> Mapping[str, Unit]:
    """Name the tensors read, one row a mask: the top guesses, or the targets' logits."""
    del parameters
    guesses = ("target_logits",) if target_ids else ("top_ids", "top_logits")
    return dict.fromkeys((*guesses, "log_sum_exp"), per_mask)


def value(
    asked: AnswerContext[Parameters], item: TextInput, windows: Sequence[Window], answers: Sequence[Answer]
) -> list[Guess] | list[list[Guess]]:
    """Return the guesses of the only mask, or a list of guesses for each of several, best first.

    A score is the probability over the whole vocabulary: exp(logit - log sum exp). `sequence` is
    the window's text with the guess in the mask's place. An XLM head with an adaptive softmax answers
    log-probabilities, whose log sum exp is 0.
    """
    del item
    single = sum(len(window.positions) for window in windows) == 1
    found = [
        _guesses(asked, window, mask, {name: rows[k] for name, rows in answer.items()}, single=single)
        for window, answer in zip(windows, answers, strict=True)
        for k, mask in enumerate(window.positions)
    ]
    return found[0] if single else found


def _guesses(
    asked: AnswerContext[Parameters], window: Window, mask: int, rows: Mapping[str, Vector], *, single: bool
) -> list[Guess]:
    if asked.target_ids:
        pairs = zip(asked.target_ids, rows["target_logits"], strict=True)
    else:
        pairs = zip(map(int, rows["top_ids"]), rows["top_logits"], strict=True)
    best = sorted(pairs, key=lambda pair: -pair[1])[: asked.parameters.top_k]
    total = rows["log_sum_exp"][0]
    return [
        {
            "score": math.exp(logit - total),
            "token": token,
            "token_str": read_back(asked, [token]),
            "sequence": _sequence(asked, window, mask, token, single=single),
        }
        for token, logit in best
    ]


def _sequence(asked: AnswerContext[Parameters], window: Window, mask: int, token: int, *, single: bool) -> str:
    pad = asked.tokenizer.id_of("<pad>")
    ids = [i for i in (*window.input_ids[:mask], token, *window.input_ids[mask + 1 :]) if i != pad]
    return read_back(asked, ids, skip_special=single)
