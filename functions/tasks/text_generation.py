"""New token ids -> text, after the prompt or alone. Must not know how a token is chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from functions.tasks.postprocessing.output_rows import Answer, AnswerContext, Counted, Unit, read_back
from functions.tasks.schemas.text_generation import Parameters
from shared.messages import TextInput, Window


def outputs(parameters: Parameters, target_ids: Sequence[int]) -> Mapping[str, Unit]:
    """Name the tensors read: how many new tokens each sequence of a prompt has, and their ids."""
    del target_ids
    return {"row_lengths": lambda _: parameters.num_return_sequences, "ids": Counted("row_lengths")}


def value(
    asked: AnswerContext[Parameters], item: TextInput, windows: Sequence[Window], answers: Sequence[Answer]
) -> list[dict[str, str]]:
    """Return each sequence's text as transformers' pipeline makes it: the new tokens, decoded by themselves.

    With `return_full_text` the prompt stands before them as it was received, cut or not.
    """
    del windows
    [answer] = answers
    before = item.text if asked.parameters.return_full_text else ""
    ids = [int(token) for [token] in answer["ids"]]
    found, start = [], 0
    for [length] in answer["row_lengths"]:
        new = ids[start : start + int(length)]
        found.append({"generated_text": before + read_back(asked, new, skip_special=True)})
        start += int(length)
    return found
