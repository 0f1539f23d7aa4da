"""`glossa tokenize` and `glossa detokenize`: how a text is read, and what ids say. Loads no weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from functions.pipeline.token_view import text_of, tokens_of
from glossa.commands.input_lines import Line, batches, read_line, text_of_line
from glossa.tokenizer_build.checkpoints import tokenizer_of
from shared.catalog import Catalog
from shared.errors import BadRequest, GlossaError

READS_LIKE = "text-classification"  # texts and pairs
Write = Callable[[bytes], object]


def tokenize_lines(
    catalog: Catalog, root: Path, model: str | None, stream: BinaryIO, write: Write, *, special: bool = True
) -> int:
    """Write what `/v1/tokenize` says of each line as JSON; return 1 when some line could not be read."""
    found = catalog.model(model or catalog.default_model)
    tokenizer = tokenizer_of(found, root)

    def answer(line: Line) -> dict[str, object]:
        item = read_line(line, READS_LIKE)
        return tokens_of(item, found, tokenizer, f"line {line.number}", special=special)

    return _each(stream, write, answer)


def detokenize_lines(
    catalog: Catalog, root: Path, model: str | None, stream: BinaryIO, write: Write, *, skip_special: bool = False
) -> int:
    """Write the text of each line, a JSON list of ids, as JSON; return 1 when some line was none."""
    tokenizer = tokenizer_of(catalog.model(model or catalog.default_model), root)

    def answer(line: Line) -> dict[str, object]:
        where = f"line {line.number}"
        return {"text": text_of(_ids(line, where), tokenizer, where, skip_special=skip_special)}

    return _each(stream, write, answer)


def _ids(line: Line, where: str) -> list[object]:
    """Read a line that is a list of ids, or what `tokenize` wrote of a text."""
    try:
        value: object = json.loads(text_of_line(line))
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"{where}: got no JSON ({error}), expected a list of ids") from None
    ids = value.get("ids") if isinstance(value, dict) else value
    if not isinstance(ids, list):
        raise BadRequest(f'{where}: got no list, expected a list of ids, or an object with "ids"')
    return ids


def _each(stream: BinaryIO, write: Write, answer: Callable[[Line], dict[str, object]]) -> int:
    code = 0
    for batch in batches(stream):
        for line in batch:
            try:
                value = answer(line)
            except GlossaError as error:
                value, code = {"error": error.message, "code": error.code, "line": line.number}, 1
            write(json.dumps(value, ensure_ascii=False).encode() + b"\n")
    return code
