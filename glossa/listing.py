"""`glossa models` and `glossa tokenize`: what is there, and how a text is read. Loads no weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from functions.pipeline.tokenize import Tokenizer
from glossa.checkpoints import tokenizer_of
from glossa.lines import Line, batches, read_line
from shared.catalog import Catalog
from shared.errors import GlossaError

SHOWN_LABELS = 4
ANY_TASK = "text-classification"  # takes every kind of line


def as_json(catalog: Catalog) -> dict[str, object]:
    """Return every model with its heads, as plain values."""
    return {"default_model": catalog.default_model, "models": [m.model_dump() for m in catalog.models.values()]}


def as_table(catalog: Catalog) -> str:
    """Return one line for each head: reference, task, default mark, lane, labels."""
    rows = [("MODEL:HEAD", "TASK", "LANE", "LABELS")]
    for name, model in catalog.models.items():
        for head_name, head in model.heads.items():
            mark = " *" if head.default and name == catalog.default_model else ""
            rows.append((f"{name}:{head_name}{mark}", head.task, model.lane, _labels(head.labels)))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = [f"{row[0]:{widths[0]}}  {row[1]:{widths[1]}}  {row[2]:{widths[2]}}  {row[3]}".rstrip() for row in rows]
    return "\n".join([*lines, "", "* answers its task when a request names no model"])


def tokenize_lines(
    catalog: Catalog, root: Path, model: str | None, stream: BinaryIO, write: Callable[[bytes], object]
) -> int:
    """Write ids, pieces and offsets of each line's text as JSON; return 1 when some line had none."""
    tokenizer = tokenizer_of(catalog.model(model or catalog.default_model), root)
    code = 0
    for batch in batches(stream):
        for line in batch:
            try:
                value = _encoding(tokenizer, line)
            except GlossaError as error:
                value, code = {"error": error.message, "code": error.code, "line": line.number}, 1
            write(json.dumps(value, ensure_ascii=False).encode() + b"\n")
    return code


def _encoding(tokenizer: Tokenizer, line: Line) -> dict[str, object]:
    encoded = tokenizer.encode(read_line(line, ANY_TASK, "text").text)
    return {"ids": encoded.ids, "tokens": tokenizer.pieces(encoded.ids), "offsets": encoded.offsets}


def _labels(labels: tuple[str, ...]) -> str:
    if len(labels) <= SHOWN_LABELS:
        return ", ".join(labels)
    return f"{', '.join(labels[:SHOWN_LABELS])}, … ({len(labels)})"
