"""Edits catalog.toml in place: appends a model, or rewrites facts of one.

`tomlkit` keeps the comments, the order and the formatting of the file. Every edit is read back by `shared.catalog`
before it is written. Must not know checkpoints.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

import tomlkit
from tomlkit.items import Array, InlineTable, Item, Table

from shared.catalog import Head, Model, parse_catalog

Value = str | int | float | bool | tuple[int, ...] | Mapping[str, int]
MAX_LINE = 118


def entry_text(name: str, facts: Mapping[str, Value], heads: Mapping[str, Head]) -> str:
    """Return the TOML of one model: its facts, then one table for each head."""
    entry = tomlkit.table()
    for key, value in facts.items():
        entry.append(key, _item(value))
    if heads:
        tables = tomlkit.table(is_super_table=True)
        for head_name, head in heads.items():
            tables.append(head_name, _head_table(head))
        entry.append("heads", tables)
    models = tomlkit.table(is_super_table=True)
    models.append(name, entry)
    document = tomlkit.document()
    document.append("models", models)
    return tomlkit.dumps(document)


def parse_entry(name: str, entry: str) -> Model:
    """Return the model that an entry describes. Raises ValueError when it is not a valid one."""
    return parse_catalog(f"{_default_model(name)}\n{entry}").model(name)


def check_free(path: Path, name: str) -> None:
    """Raise ValueError when the catalog already has a model of this name."""
    if path.exists() and name in parse_catalog(path.read_text(encoding="utf-8")).models:
        raise ValueError(
            f"{path} already has a model {name!r}; choose another --name, or: glossa catalog refresh {name}"
        )


def append(path: Path, name: str, entry: str) -> None:
    """Append a model's entry. A catalog that does not exist yet is made, with this model as its default.

    Raises ValueError when the model is already there or the result is not a valid catalog.
    """
    check_free(path, name)
    before = path.read_text(encoding="utf-8") if path.exists() else _default_model(name)
    _replace(path, f"{before.rstrip()}\n\n{entry}")


def rewrite(path: Path, name: str, facts: Mapping[str, Value]) -> list[str]:
    """Rewrite facts of a model in place; return the names of those that changed.

    A fact that the entry lacks is added after its last one. Raises ValueError when the file lacks the model, or when
    the model lacks the first of the facts.
    """
    text = path.read_text(encoding="utf-8")
    parse_catalog(text)  # tomlkit has other errors, and reads some text that is no catalog
    document = tomlkit.parse(text)
    models = document.get("models", {})
    if name not in models:
        raise ValueError(f"{path} has no table [models.{_key(name)}]; models: {sorted(models)}")
    entry = models[name]
    if (first := next(iter(facts))) not in entry:
        raise ValueError(f"{path}: [models.{_key(name)}] has no line {first} = …, expected one")
    changed = [key for key, value in facts.items() if key not in entry or entry[key] != value]
    for key in changed:
        entry[key] = _item(facts[key])
    _replace(path, tomlkit.dumps(document))
    return changed


def _replace(path: Path, text: str) -> None:
    parse_catalog(text)
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(partial).chmod(path.stat().st_mode if path.exists() else 0o644)
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def _head_table(head: Head) -> Table:
    """Return the table of a head, without what is empty or the default."""
    facts = {
        "task": head.task,
        "also": _one_line(head.also) if head.also else None,
        "variant": head.variant or None,
        "prefix": head.prefix or None,
        "labels": _labels(head.labels) if head.labels else None,
        "problem_type": head.problem_type if head.problem_type != "single_label_classification" else None,
        "default": True if head.default else None,
    }
    table = tomlkit.table()
    for key, value in facts.items():
        if value is not None:
            table.append(key, value)
    return table


def _labels(labels: tuple[str, ...]) -> Array:
    """Return labels as a list on one line if it fits, else on several full lines."""
    if len(f"labels = {_one_line(labels).as_string()}") <= MAX_LINE:
        return _one_line(labels)
    lines: list[list[str]] = [[]]
    width = 4
    for label in labels:
        room = len(tomlkit.item(label).as_string()) + 2
        if width + room > MAX_LINE + 1 and lines[-1]:
            lines.append([])
            width = 4
        lines[-1].append(label)
        width += room
    array = tomlkit.array()
    for line in lines:
        array.add_line(*line)
    array.add_line(indent="")
    return array


def _one_line(values: tuple[str, ...]) -> Array:
    array = tomlkit.array()
    array.extend(values)
    return array


def _item(value: Value) -> Item:
    return _inline_table(value) if isinstance(value, Mapping) else tomlkit.item(value)


def _inline_table(values: Mapping[str, int]) -> InlineTable:
    table = tomlkit.inline_table()
    table.update(values)
    return table


def _default_model(name: str) -> str:
    return f"default_model = {tomlkit.item(name).as_string()}\n"


def _key(name: str) -> str:
    """Return a name as TOML writes it in the header of a table."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else tomlkit.item(name).as_string()
