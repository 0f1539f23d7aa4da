"""Reads the repository's own syntax trees for the house tests. Imports nothing it reads."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("shared", "functions", "serve", "glossa")
OURS = (*PRODUCT, "local", "benchmarks", "checkpoints")


@dataclass(frozen=True)
class Source:
    """One Python file: its path below the root, text and syntax tree."""

    path: str
    text: str
    tree: ast.Module

    @property
    def n_lines(self) -> int:
        """Lines of the file."""
        return self.text.count("\n")


@cache
def sources(*tops: str) -> tuple[Source, ...]:
    """Every Python file git knows, or would take, below the given top-level folders."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    wanted = sorted(p for p in set(listed) if p.split("/")[0] in tops and (ROOT / p).is_file())
    return tuple(_source(path) for path in wanted)


def _source(path: str) -> Source:
    text = (ROOT / path).read_text(encoding="utf-8")
    return Source(path, text, ast.parse(text, path))


def imports(source: Source) -> Iterator[str]:
    """Every dotted name the file imports, anywhere in it, with relative names made absolute."""
    package = source.path.removesuffix(".py").split("/")[:-1]
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def functions(source: Source) -> Iterator[tuple[str, int]]:
    """Name and body length (lines without the docstring) of each function in the file."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            yield node.name, (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
