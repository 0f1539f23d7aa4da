"""Edits catalog.toml in place: appends a model, rewrites facts of one, or removes one.

`tomlkit` keeps the comments, the order and the formatting of the file. Every edit is read back by `shared.catalog`
before it is written. Must not know checkpoints.
"""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit import TOMLDocument
from tomlkit.items import Array, InlineTable, Item, Table

from shared.catalog import Head, Model, load_catalog, parse_catalog

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
    """Raise ValueError when the catalog has a model of this name, cannot be read, or takes no further table."""
    if path.exists() and name in load_catalog(path).models:
        raise ValueError(
            f"{path} already has a model {name!r}; choose another --name, or: glossa catalog refresh {name}"
        )
    if path.exists() and isinstance(tomlkit.parse(path.read_text(encoding="utf-8"))["models"], InlineTable):
        raise ValueError(f"{path} has models = {{…}} on one line, expected a table [models.NAME] for each of them")


def check_writable(path: Path) -> None:
    """Raise ValueError when the catalog, or its folder while there is none, cannot be written to."""
    if path.is_dir():
        raise ValueError(f"got --catalog {path}, which is a folder; expected a file in it: {path / 'catalog.toml'}")
    if not path.parent.is_dir():
        raise ValueError(f"got --catalog {path}, expected a folder that is there; make it: mkdir -p {path.parent}")
    for needed in (path.parent, path) if path.exists() else (path.parent,):
        if not os.access(needed, os.W_OK):
            raise ValueError(f"got --catalog {path}, expected a place to write to: {needed} is read-only for you")


def append(path: Path, name: str, entry: str) -> None:
    """Append a model's entry. A catalog that does not exist yet is made, with this model as its default.

    Raises ValueError when the model is already there or the result is not a valid catalog.
    """
    with _locked(path):
        check_free(path, name)
        before = path.read_text(encoding="utf-8") if path.exists() else _default_model(name)
        _replace(path, f"{before.rstrip()}\n\n{entry}")


def rewrite(
    path: Path, name: str, facts: Mapping[str, Value | None], heads: Mapping[str, Head] | None = None
) -> list[str]:
    """Rewrite facts of a model in place, and its heads if they are given; return the names of those that changed.

    A fact that the entry lacks is added after its last one, and None removes one. A head keeps its lines that stay
    true. Raises ValueError when the file lacks the model, or when the model lacks the first of the facts.
    """
    with _locked(path):
        return _rewrite(path, name, facts, heads)


def _rewrite(path: Path, name: str, facts: Mapping[str, Value | None], heads: Mapping[str, Head] | None) -> list[str]:
    document, entry = _open(path, name)
    if facts and (first := next(iter(facts))) not in entry:
        raise ValueError(f"{path}: [models.{_key(name)}] has no line {first} = …, expected one")
    changed = [key for key, value in facts.items() if entry.get(key) != value]
    for key in changed:
        _put(entry, key, None if (value := facts[key]) is None else _item(value))
    if heads is not None:
        changed += _rewrite_heads(entry["heads"], heads)
    _replace(path, tomlkit.dumps(document))
    return changed


def remove(path: Path, name: str, default_model: str | None = None) -> None:
    """Remove the entry of a model, and nothing else. `default_model` names the new default.

    Raises ValueError when the file lacks the model, or when the rest is not a valid catalog.
    """
    with _locked(path):
        document, _ = _open(path, name)
        del document["models"][name]
        if default_model is not None:
            document["default_model"] = default_model
        _replace(path, tomlkit.dumps(document))


def stored_entry(path: Path, name: str) -> str:
    """Return the lines of a model's entry as the file has them. Raises ValueError when the file lacks the model."""
    _, entry = _open(path, name)
    models = tomlkit.table(is_super_table=True)
    models.append(name, entry)
    shown = tomlkit.document()
    shown.append("models", models)
    return tomlkit.dumps(shown).strip()


def _open(path: Path, name: str) -> tuple[TOMLDocument, Table]:
    """Return the document of a catalog, and the table of a model in it."""
    text = path.read_text(encoding="utf-8")
    parse_catalog(text)  # tomlkit has other errors, and reads some text that is no catalog
    document = tomlkit.parse(text)
    models: Any = document.get("models", {})
    if name not in models:
        raise ValueError(f"{path} has no table [models.{_key(name)}]; models: {sorted(models)}")
    return document, models[name]


def _rewrite_heads(table: Any, heads: Mapping[str, Head]) -> list[str]:
    """Make the table of heads say `heads`; return `heads.NAME` of each that changed."""
    changed = [name for name in table if name not in heads]
    for name in changed:
        del table[name]
    for name, head in heads.items():
        wanted = _head_table(head)
        if name not in table:
            table[name] = wanted
        elif table[name].unwrap() != wanted.unwrap():
            for key in [*table[name], *wanted]:
                if table[name].get(key) != wanted.get(key):
                    _put(table[name], key, wanted.get(key))
        else:
            continue
        changed.append(name)
    return [f"heads.{name}" for name in changed]


def _put(table: Any, key: str, value: Item | None) -> None:
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let no other process edit a catalog of the same folder meanwhile, so that no edit of two is lost."""
    check_writable(path)
    folder = os.open(path.resolve().parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _replace(path: Path, text: str) -> None:
    """Put a text in the place of a catalog at once. A link stays one, and line ends stay those of the file."""
    parse_catalog(text)
    path = path.resolve()
    ends = "\r\n" if path.exists() and b"\r\n" in path.read_bytes() else "\n"
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline=ends) as file:
            file.write(text.replace("\r\n", "\n"))
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
        "checkpoint": head.checkpoint or None,
        "weights_sha256": head.weights_sha256,
        "labels": _labels(head.labels) if head.labels else None,
        "problem_type": head.problem_type if head.problem_type != "single_label_classification" else None,
        "pooling": head.pooling if head.pooling != "mean" else None,
        "normalize": head.normalize or None,
        "dimensions": head.dimensions,
        "prompts": _inline_table(head.prompts) if head.prompts else None,
        "default_prompt": head.default_prompt or None,
        "activation": head.activation or None,
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


def _inline_table(values: Mapping[str, int] | Mapping[str, str]) -> InlineTable:
    table = tomlkit.inline_table()
    table.update(values)
    return table


def _default_model(name: str) -> str:
    return f"default_model = {tomlkit.item(name).as_string()}\n"


def _key(name: str) -> str:
    """Return a name as TOML writes it in the header of a table."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else tomlkit.item(name).as_string()
