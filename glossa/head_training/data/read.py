"""Reads labelled texts from a file for one task. A row that cannot be read is named by its line.

Must not know models.
"""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from glossa.head_training.data.examples import Example, Examples, RowError, Span, Target, bad_rows
from glossa.head_training.data.tables import Fields, Record, read_records
from glossa.head_training.data.tags import check_spans, spans_of_tags

# names of a column that mean the same, the first is the one that messages use
TEXTS = ("text", "query", "premise", "sentence1", "question")
PAIRS = ("text_pair", "document", "hypothesis", "sentence2", "passage")
LABEL, LABELS = ("label",), ("labels",)
GRADES = ("score", "grade", "relevance", "label")
GROUP, LANG = ("group",), ("lang", "language")
BETWEEN = "|"  # labels in one field of a table
ENTAILMENT = "entail"
TASKS = ("text-classification", "token-classification", "zero-shot-classification", "rerank", "sentence-similarity")
SPAN_FIELDS = 3
MAX_LABEL_CHARS = 200  # a label stands in the catalog and in every answer
MAX_GRADE = 1e100  # far from where differences of two doubles overflow


def read_examples(path: Path, task: str, columns: Mapping[str, str] | None = None) -> Examples:
    """Return the labelled texts of a file. `columns` gives our name of a column, and the file's.

    Raises ValueError that names bad rows, one a line, or says that the file has no row.
    """
    rows: list[Example] = []
    bad: list[tuple[int, str]] = []
    target: Target | None = None
    for record in read_records(path):
        try:
            fields = _renamed(record, columns or {})
            target = target or target_of(task, fields)
            rows.append(_checked(_example(record, fields, task, target)))
        except RowError as error:
            bad.append((record.line, str(error)))
    if bad:
        raise bad_rows(path, bad)
    if not rows or target is None:
        raise ValueError(f"got {path} without a row, expected a labelled text in each")
    if task == "zero-shot-classification" and not any(_entails(row) for row in rows):
        found = sorted({label for row in rows for label in row.labels})[:5]
        raise ValueError(f"{path}: got labels {found}, expected one that begins with {ENTAILMENT!r}; rename it")
    return Examples(tuple(rows), target)


def target_of(task: str, fields: Fields) -> Target:
    """Return what rows with these fields say. Raises RowError when a task cannot read them."""
    if task == "token-classification":
        return "spans"
    if task in {"rerank", "sentence-similarity"}:
        return "grade"
    return "labels" if "labels" in fields and "label" not in fields else "label"


def _entails(row: Example) -> bool:
    return any(label.lower().startswith(ENTAILMENT) for label in row.labels)


def _renamed(record: Record, columns: Mapping[str, str]) -> Fields:
    if record.problem:
        raise RowError(record.problem)
    missing = [name for name in columns.values() if name not in record.fields]
    if missing:
        raise RowError(f"got no column {missing[0]!r}, expected it, as --column says, among {_names(record.fields)}")
    return {**record.fields, **{ours: record.fields[theirs] for ours, theirs in columns.items()}}


def _example(record: Record, fields: Fields, task: str, target: Target) -> Example:
    group, lang = _optional(fields, GROUP), _optional(fields, LANG)
    if target == "spans":
        text, spans = _entities(fields)
        return Example(record.line, text, spans=spans, group=group, lang=lang)
    text = _text(fields, TEXTS)
    needs_pair = task != "text-classification"
    pair = _text(fields, PAIRS) if needs_pair or any(name in fields for name in PAIRS) else None
    if target == "grade":
        return Example(record.line, text, pair, grade=_grade(fields), group=group, lang=lang)
    labels = _labels(fields) if target == "labels" else (_label(fields),)
    return Example(record.line, text, pair, labels, group=group, lang=lang)


def _checked(row: Example) -> Example:
    """Return a row that can be trained on. Raises RowError for text that is no Unicode, and for odd labels."""
    labels = (*row.labels, *(span.label for span in row.spans))
    for value in (row.text, row.text_pair or "", row.lang, row.group, *labels):
        if any("\ud800" <= char <= "\udfff" for char in value):
            raise RowError(f"got {_shown(value)}, half of a surrogate pair, expected text; write both halves")
    for label in labels:
        if len(label) > MAX_LABEL_CHARS or any(unicodedata.category(char) == "Cc" for char in label):
            raise RowError(
                f"got {_shown(label)} as label, expected at most {MAX_LABEL_CHARS} characters without control "
                "characters; is it the wrong column?"
            )
    return row


def _text(fields: Fields, names: Sequence[str]) -> str:
    value = _required(fields, names)
    if not isinstance(value, str) or not value.strip():
        raise RowError(f"got {_shown(value)} as {names[0]}, expected some text")
    return value


def _label(fields: Fields) -> str:
    value = _required(fields, LABEL)
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise RowError(f"got {_shown(value)} as label, expected a name; for several labels name the column labels")
    return str(value).strip()


def _labels(fields: Fields) -> tuple[str, ...]:
    value = _required(fields, LABELS)
    if isinstance(value, str):
        value = [part for part in value.split(BETWEEN) if part.strip()]
    if not isinstance(value, list) or not all(isinstance(each, str) and each.strip() for each in value):
        raise RowError(f"got {_shown(value)} as labels, expected a list of names, or names with {BETWEEN} between them")
    return tuple(dict.fromkeys(each.strip() for each in value))


def _grade(fields: Fields) -> float:
    value = _required(fields, GRADES)
    try:
        grade = math.nan if isinstance(value, bool) or not isinstance(value, str | int | float) else float(value)
    except (ValueError, OverflowError):
        grade = math.nan
    if not abs(grade) <= MAX_GRADE:
        raise RowError(f"got {_shown(value)} as score, expected a number to {MAX_GRADE:g}, higher for a better pair")
    return grade


def _entities(fields: Fields) -> tuple[str, tuple[Span, ...]]:
    if "tokens" in fields or "tags" in fields:
        return spans_of_tags(_words(fields, "tokens"), _words(fields, "tags"))
    text = _text(fields, ("text",))
    value = _required(fields, ("spans", "entities"))
    if isinstance(value, str):  # of a table
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise RowError(f"got {_shown(value)} as spans, expected a JSON list of [start, end, label]") from None
    if not isinstance(value, list):
        raise RowError(f"got {_shown(value)} as spans, expected a list of [start, end, label]")
    return text, check_spans(text, [_span(each) for each in value])


def _span(value: object) -> Span:
    parts = [value.get(name) for name in ("start", "end", "label")] if isinstance(value, Mapping) else value
    if isinstance(parts, list) and len(parts) == SPAN_FIELDS:
        start, end, label = parts
        are_places = all(isinstance(each, int) and not isinstance(each, bool) for each in (start, end))
        if are_places and isinstance(label, str) and label.strip():
            return Span(start, end, label.strip())
    raise RowError(f'got {_shown(value)} as a span, expected [start, end, label] or {{"start", "end", "label"}}')


def _words(fields: Fields, name: str) -> list[str]:
    value = _required(fields, (name,))
    words = value.split() if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) and word for word in words):
        raise RowError(f"got {_shown(value)} as {name}, expected a list of words, or words with spaces between them")
    return words


def _required(fields: Fields, names: Sequence[str]) -> object:
    for name in names:
        if name in fields and fields[name] is not None:
            return fields[name]
    others = f" (or {', '.join(names[1:])})" if len(names) > 1 else ""
    raise RowError(
        f"got {_names(fields)}, expected a column {names[0]}{others}; if yours has another name: "
        f"--column {names[0]}=NAME"
    )


def _optional(fields: Fields, names: Sequence[str]) -> str:
    value = next((fields[name] for name in names if fields.get(name) is not None), "")
    if not isinstance(value, str | int):
        raise RowError(f"got {_shown(value)} as {names[0]}, expected a name")
    return str(value)


def _names(fields: Fields) -> str:
    return f"columns {', '.join(fields)}" if fields else "no columns"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"  # noqa: PLR2004 - characters that one line shows
