"""Reads the Python files of the repository as text and syntax trees.

The entry is `sources`; `made_up` makes a source that is in no file, for the negative cases.
Must not import what it reads.
"""

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
ALL = (*OURS, "tests")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, eq=False)
class Source:
    """One Python file: its path below the root, text and syntax tree."""

    path: str
    text: str
    tree: ast.Module

    @property
    def n_lines(self) -> int:
        """Lines of the file."""
        return len(self.text.splitlines())

    @property
    def module(self) -> str:
        """The dotted name by which others import the file; a package's own name for its `__init__.py`."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def folder(self) -> str:
        """The path of the folder that holds the file."""
        return self.path.rpartition("/")[0]


def made_up(path: str, text: str) -> Source:
    """Return a source with a path and a text that need not exist."""
    return Source(path, text, ast.parse(text, path))


@cache
def tracked(*patterns: str) -> tuple[str, ...]:
    """Return the paths that git knows, or would take, and that match one of the patterns; all without a pattern."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *patterns],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    return tuple(sorted(path for path in set(listed) if path and (ROOT / path).is_file()))


@cache
def sources(*tops: str) -> tuple[Source, ...]:
    """Return every Python file below the given top-level folders."""
    return tuple(_source(path) for path in tracked("*.py") if path.split("/")[0] in tops)


@cache
def _source(path: str) -> Source:
    return made_up(path, (ROOT / path).read_text(encoding="utf-8"))


def imports(source: Source) -> Iterator[str]:
    """Yield every dotted name that the file imports, anywhere in it, with relative names made absolute."""
    package = source.path.removesuffix(".py").split("/")[:-1]
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


@cache
def functions(source: Source) -> tuple[Function, ...]:
    """Return each function and method of the file, inner ones too."""
    return tuple(node for node in ast.walk(source.tree) if isinstance(node, Function))


def lazy_lines(source: Source) -> set[int]:
    """Return the lines that do not run when the file is imported: function bodies and `if TYPE_CHECKING`."""
    lines: set[int] = set()
    for node in ast.walk(source.tree):
        if isinstance(node, Function) or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
            lines.update(range(node.body[0].lineno, (node.body[-1].end_lineno or 0) + 1))
    return lines
