"""Edits catalog.toml as text, so that its comments and order stay: appends a model, rewrites a digest.

Every edit is parsed by `shared.catalog` before it is written. Must not know checkpoints.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path

from shared.catalog import Head, Model, parse_catalog

Value = str | int | float | bool | tuple[int, ...] | Mapping[str, int]


def entry_text(name: str, facts: Mapping[str, Value], heads: Mapping[str, Head]) -> str:
    """Return the TOML of one model: its facts, then one table for each head."""
    lines = [f"[models.{_key(name)}]", *(f"{key} = {_toml(value)}" for key, value in facts.items())]
    for head_name, head in heads.items():
        lines += ["", f"[models.{_key(name)}.heads.{_key(head_name)}]", f"task = {_toml(head.task)}"]
        lines += [f"also = [{', '.join(map(_toml, head.also))}]"] if head.also else []
        lines += [f"variant = {_toml(head.variant)}"] if head.variant else []
        lines += [f"prefix = {_toml(head.prefix)}"] if head.prefix else []
        lines += _labels(head.labels) if head.labels else []
        if head.problem_type != "single_label_classification":
            lines.append(f"problem_type = {_toml(head.problem_type)}")
        lines += ["default = true"] if head.default else []
    return "\n".join(lines) + "\n"


def parse_entry(name: str, entry: str) -> Model:
    """Return the model that an entry says. Raises ValueError when it is no valid one."""
    return parse_catalog(f"default_model = {_toml(name)}\n\n{entry}").model(name)


def check_free(path: Path, name: str) -> None:
    """Raise ValueError when the catalog already has a model of this name."""
    if path.exists() and name in tomllib.loads(path.read_text(encoding="utf-8")).get("models", {}):
        raise ValueError(
            f"{path} already has a model {name!r}; choose another --name, or: glossa catalog refresh {name}"
        )


def append(path: Path, name: str, entry: str) -> None:
    """Append a model's entry; a catalog that does not exist yet gets it as its default model.

    Raises ValueError when the model is already there or the result is no valid catalog.
    """
    check_free(path, name)
    before = path.read_text(encoding="utf-8") if path.exists() else f"default_model = {_toml(name)}\n"
    _replace(path, f"{before.rstrip()}\n\n{entry}")


def rewrite(path: Path, name: str, facts: Mapping[str, Value]) -> list[str]:
    """Rewrite single-line facts of a model in place; return the names of those that changed.

    A fact without a line gets one below the fact before it. Raises ValueError when the model or the first fact
    is not in the file.
    """
    text = path.read_text(encoding="utf-8")
    found = re.search(rf"^\[models\.{re.escape(_key(name))}\][^\n]*\n(?:(?!\[).*\n?)*", text, re.MULTILINE)
    if found is None:
        raise ValueError(f"{path} has no table [models.{_key(name)}]; models: {sorted(parse_catalog(text).models)}")
    table = found.group()
    changed: list[str] = []
    end = -1
    for key, value in facts.items():
        line = re.search(rf"^{key}\s*=.*$", table, re.MULTILINE)
        if line is None and end < 0:
            raise ValueError(f"{path}: [models.{_key(name)}] has no line {key} = …, expected one")
        said = f"{key} = {_toml(value)}"
        before, rest = (table[: line.start()], line.end()) if line else (f"{table[:end]}\n", end)
        after = before + said + table[rest:]
        end = len(before) + len(said)
        changed += [key] if after != table else []
        table = after
    _replace(path, text[: found.start()] + table + text[found.end() :])
    return changed


def _replace(path: Path, text: str) -> None:
    parse_catalog(text)
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    Path(partial).chmod(path.stat().st_mode if path.exists() else 0o644)
    Path(partial).replace(path)


def _labels(labels: tuple[str, ...], width: int = 118) -> list[str]:
    """Return `labels = […]` on one line where that fits, else filled over several."""
    items = [_toml(label) for label in labels]
    if len(line := f"labels = [{', '.join(items)}]") <= width:
        return [line]
    lines = ["labels = [", "   "]
    for item in items:
        if len(lines[-1]) + len(item) + 2 > width:
            lines.append("   ")
        lines[-1] += f" {item},"
    return [*lines, "]"]


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _toml(name)


def _toml(value: Value) -> str:
    """Write a TOML value; a basic string of TOML is a JSON string but for U+007F."""
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_key(key)} = {_toml(item)}' for key, item in value.items())} }}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
