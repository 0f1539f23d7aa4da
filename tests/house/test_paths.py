"""Paths in words: what docs and comments name must be there, and tests lie where the code lies.

Each rule is a function over texts and the paths that exist. One test applies it to the repository, one to a made-up
case that breaks it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping

from tests.house.tree import ALL, ROOT, tracked

SUFFIXES = (".py", ".md", ".yaml", ".toml", ".c", ".h", "Makefile")
HISTORY = ("CHANGELOG.md", "benchmarks/notes/", "docs/decisions/")  # they speak of files of their day
LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)(?:#[^)]*)?\)")
NAMED = re.compile(rf"`((?:{'|'.join((*ALL, 'docs', 'infra', 'requirements'))})/[\w./-]*)`")
COMMAND = re.compile(rf"\bpython3? -m ((?:{'|'.join(ALL)})\b(?:\.\w+)*)")
UNIT = "tests/unit/"


def there(paths: Iterable[str]) -> set[str]:
    """Return the paths and all folders above them."""
    found: set[str] = set()
    for path in paths:
        while path and path not in found:
            found.add(path)
            path = posixpath.dirname(path)  # noqa: PLW2901 - walks up
    return found


def lost_links(texts: Mapping[str, str], known: set[str]) -> list[str]:
    """Return `page: target` for each link of a page that leads to no file or folder."""
    return [
        f"{page}: {target}"
        for page, text in texts.items()
        if page.endswith(".md")
        for target in LINK.findall(text)
        if posixpath.normpath(posixpath.join(posixpath.dirname(page), target)) not in known
    ]


def lost_names(texts: Mapping[str, str], known: set[str]) -> list[str]:
    """Return `page: path` for each path in backticks that is neither a file nor a folder."""
    return [
        f"{page}: {path}"
        for page, text in texts.items()
        if not page.startswith(HISTORY)
        for path in NAMED.findall(text)
        if path.rstrip("/") not in known and "NAME" not in path
    ]


def lost_commands(texts: Mapping[str, str], known: set[str]) -> list[str]:
    """Return `page: module` for each `python -m` of a module of ours that is not there."""
    return [
        f"{page}: {module}"
        for page, text in texts.items()
        if not page.startswith(HISTORY)
        for module in COMMAND.findall(text)
        if not {f"{module.replace('.', '/')}{end}" for end in (".py", "/__main__.py")} & known
    ]


def misplaced_tests(known: set[str], paths: Iterable[str]) -> list[str]:
    """Return the folders of tests/unit that mirror no folder of the code."""
    folders = {
        posixpath.dirname(path).removeprefix(UNIT) for path in paths if path.startswith(UNIT) and path.endswith(".py")
    }
    return sorted(folder for folder in folders if f"{folder}/" != UNIT and folder not in known)


def _texts() -> Iterator[tuple[str, str]]:
    for path in tracked():
        if path.endswith(SUFFIXES) and not path.startswith("tests/house/"):
            yield path, (ROOT / path).read_text(encoding="utf-8")


def test_every_link_leads_somewhere() -> None:
    """Links between pages, and from pages to code, lead to files of the repository."""
    assert lost_links(dict(_texts()), there(tracked())) == []


def test_a_link_to_nothing_is_found() -> None:
    """A link is read from the page's own folder; addresses and places on the page are no files."""
    text = "[a](../serve/app.py) [b](gone.md#part) [c](https://example.org/x) [d](#part) [e](../serve)"
    assert lost_links({"docs/page.md": text}, there(["docs/page.md", "serve/app.py"])) == ["docs/page.md: gone.md"]


def test_a_name_of_nothing_is_found() -> None:
    """Files and folders are known; a pattern with a star is no path."""
    text = '"""See `serve/app.py`, `serve/`, `serve/gone.py` and `serve/*.py`."""'
    assert lost_names({"serve/app.py": text}, there(["serve/app.py"])) == ["serve/app.py: serve/gone.py"]


def test_every_named_command_exists() -> None:
    """A module that docs or comments run with `python -m` is there."""
    assert lost_commands(dict(_texts()), there(tracked())) == []


def test_a_command_of_nothing_is_found() -> None:
    """A module runs from its file, a package from its `__main__.py`."""
    texts = {"README.md": "python -m serve.app, python -m benchmarks --quick, python -m serve.gone, python -m serve"}
    known = there(["serve/app.py", "benchmarks/__main__.py"])
    assert lost_commands(texts, known) == ["README.md: serve.gone", "README.md: serve"]


def test_unit_tests_mirror_the_code() -> None:
    """Each folder of tests/unit has the name of the folder that it tests."""
    assert misplaced_tests(there(tracked()), tracked()) == []


def test_a_misplaced_test_is_found() -> None:
    """A folder of tests whose code has moved is reported; the top of tests/unit is free."""
    paths = [
        "serve/rows/pack.py",
        "tests/unit/serve/rows/test_pack.py",
        "tests/unit/serve/old/test_a.py",
        "tests/unit/b.py",
    ]
    assert misplaced_tests(there(paths), paths) == ["serve/old"]


def test_every_named_file_exists() -> None:
    """A path in backticks, in docs or comments, is a file or folder of the repository."""
    assert lost_names(dict(_texts()), there(tracked())) == []
