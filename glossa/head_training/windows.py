"""Makes the windows that a model reads of labelled texts, as a request would have them.

Must not know labels, engines or tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from functions.messages import TextInput, Window
from functions.pipeline.tokenize import tokenize
from functions.tasks.parse import parse_parameters
from functions.tasks.task import TextRequest
from functions.tokenizers.tokenizer import Tokenizer
from glossa.head_training.data.examples import Example, bad_rows
from shared.catalog import Model

BATCH_TEXTS = 64  # of one request


def windows_of(
    path: Path, rows: Sequence[Example], model: Model, tokenizer: Tokenizer, task: str
) -> list[list[Window]]:
    """Return the windows of each row. A long text has several, which overlap where the task says so.

    `task` is the one that the head will answer. Raises ValueError that names the rows of `path` that read as nothing,
    or are too long for a request.
    """
    parameters = parse_parameters(task, {})
    made: list[list[Window]] = []
    bad: list[tuple[int, str]] = []
    for start in range(0, len(rows), BATCH_TEXTS):
        some = rows[start : start + BATCH_TEXTS]
        inputs = tuple(_input(row, model) for row in some)
        found = tokenize(TextRequest(task, inputs, parameters, model.name), model, tokenizer)
        bad += [(some[at].line, error.message.partition(": ")[2]) for at, error in found.errors.items()]
        own: list[list[Window]] = [[] for _ in some]
        for window in found.windows:  # they count the inputs without an error
            own[window.input_index].append(window)
        made += own
    if bad:
        raise bad_rows(path, bad)
    return made


def _input(row: Example, model: Model) -> TextInput:
    lang = row.lang if row.lang in model.lang2id else None
    return TextInput(row.text, row.text_pair, lang=lang, lang_pair=lang if row.text_pair is not None else None)
