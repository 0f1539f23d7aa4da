"""Sizes that a reader can hold in mind: lines of a file, lines of a function, its arguments, files of a folder.

Each rule is a function over a list of sources. One test applies it to the repository, one to made-up sources that break
it.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable

from tests.house.tree import ALL, OURS, PRODUCT, Function, Source, functions, made_up, sources

MAX_FILE_LINES = 300
MAX_BODY_LINES = 60
USUAL_BODY_LINES = 25
USUAL_SHARE = 0.9
MAX_POSITIONAL = 6
MAX_FILES = 15  # besides __init__.py


def long_files(files: Iterable[Source]) -> list[tuple[str, int]]:
    """Return path and lines of the files that are too long."""
    return [(file.path, file.n_lines) for file in files if file.n_lines > MAX_FILE_LINES]


def body_lines(function: Function) -> int:
    """Count the lines of a body without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def long_bodies(files: Iterable[Source]) -> list[tuple[str, int]]:
    """Return name and lines of the functions that are too long."""
    sizes = [(f"{file.path}:{function.name}", body_lines(function)) for file in files for function in functions(file)]
    return [(name, n_lines) for name, n_lines in sizes if n_lines > MAX_BODY_LINES]


def usual_share(files: Iterable[Source]) -> float:
    """Return the share of functions whose body has at most the usual number of lines."""
    lengths = [body_lines(function) for file in files for function in functions(file)]
    return sum(length <= USUAL_BODY_LINES for length in lengths) / len(lengths)


def positional(function: Function) -> int:
    """Count the arguments that a caller may pass without their name, `self` and `cls` aside."""
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    return len([name for name in names if name not in ("self", "cls")])


def many_arguments(files: Iterable[Source]) -> list[tuple[str, int]]:
    """Return name and count of the functions that take too many arguments by position; by keyword any number may."""
    counts = [(f"{file.path}:{function.name}", positional(function)) for file in files for function in functions(file)]
    return [(name, count) for name, count in counts if count > MAX_POSITIONAL]


def full_folders(files: Iterable[Source]) -> list[tuple[str, int]]:
    """Return path and count of the folders that hold too many files."""
    counts = Counter(file.folder for file in files if not file.path.endswith("/__init__.py"))
    return sorted((folder, count) for folder, count in counts.items() if count > MAX_FILES)


def test_files_are_short() -> None:
    """No file has more than 300 lines."""
    assert long_files(sources(*ALL)) == []


def test_a_long_file_is_found() -> None:
    """The 301st line is reported, the 300th is not."""
    assert long_files([made_up("serve/a.py", "a = 1\n" * 301)]) == [("serve/a.py", 301)]
    assert long_files([made_up("serve/a.py", "a = 1\n" * 300)]) == []


def test_no_body_is_long() -> None:
    """No function body has more than 60 lines."""
    assert long_bodies(sources(*OURS)) == []


def test_a_long_body_is_found() -> None:
    """The 61st line is reported, in a method too; a docstring does not count."""
    method = 'class A:\n    async def f(self):\n        """Do it."""\n'
    assert long_bodies([made_up("serve/a.py", method + "        a = 1\n" * 61)]) == [("serve/a.py:f", 61)]
    assert long_bodies([made_up("serve/a.py", method + "        a = 1\n" * 60)]) == []


def test_most_bodies_are_short() -> None:
    """Nine function bodies in ten have at most 25 lines."""
    assert usual_share(sources(*PRODUCT, "local")) >= USUAL_SHARE


def test_many_long_bodies_are_found() -> None:
    """Two long bodies in ten bring the share below the rule."""
    short, long = "def f():\n" + "    a = 1\n" * 25, "def f():\n" + "    a = 1\n" * 26
    assert usual_share([made_up("serve/a.py", short * 9 + long)]) >= USUAL_SHARE
    assert usual_share([made_up("serve/a.py", short * 8 + long * 2)]) < USUAL_SHARE


def test_few_arguments_are_positional() -> None:
    """No function takes more than six arguments by position."""
    assert many_arguments(sources(*ALL)) == []


def test_a_seventh_positional_argument_is_found() -> None:
    """Seven are reported; six, and any number by keyword, are not."""
    seven, free = "def f(a, b, c, /, d, e, f, g): ...\n", "def f(self, a, b, c, d, e, f, *rest, g, h): ...\n"
    assert many_arguments([made_up("serve/a.py", seven)]) == [("serve/a.py:f", 7)]
    assert many_arguments([made_up("serve/a.py", free)]) == []


def test_folders_hold_few_files() -> None:
    """No folder of code has more than 15 Python files beside its `__init__.py`; folders of tests mirror them."""
    assert full_folders(sources(*OURS)) == []


def test_a_full_folder_is_found() -> None:
    """The 16th file is reported; files in folders below do not count."""
    files = [made_up(f"serve/rows/{name}.py", "") for name in "abcdefghijklmno"]
    assert full_folders([*files, made_up("serve/rows/__init__.py", ""), made_up("serve/rows/in/a.py", "")]) == []
    assert full_folders([*files, made_up("serve/rows/p.py", "")]) == [("serve/rows", 16)]
