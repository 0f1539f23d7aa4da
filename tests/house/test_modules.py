"""What each module and folder says of itself, and which names say nothing.

Each rule is a function over a list of sources. One test applies it to the repository, one to made-up sources that break
it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable

from tests.house.tree import ALL, PRODUCT, Source, made_up, sources

MIN_SENTENCES = 2
VAGUE = ("utils", "util", "common", "helpers", "helper", "misc", "base")
SENTENCE_END = re.compile(r"[.!?](?=\s|$)")


def silent(files: Iterable[Source]) -> list[str]:
    """Return the files without a docstring at their top."""
    return [file.path for file in files if not ast.get_docstring(file.tree)]


def terse_folders(files: Iterable[Source]) -> list[str]:
    """Return the `__init__.py` files that do not say in two sentences what their folder does, and what it must not."""
    texts = {file.path: _description(file) for file in files if file.path.endswith("/__init__.py")}
    return [path for path, text in texts.items() if _sentences(text) < MIN_SENTENCES or "must not" not in text]


def folders_without_description(files: Iterable[Source]) -> list[str]:
    """Return the folders that hold modules but no `__init__.py`."""
    files = list(files)
    described = {file.folder for file in files if file.path.endswith("/__init__.py")}
    return sorted({file.folder for file in files} - described)


def vague_names(paths: Iterable[str]) -> list[str]:
    """Return the paths with a file or folder whose name says nothing of its content."""
    return [path for path in paths if any(part.removesuffix(".py") in VAGUE for part in path.split("/"))]


def _description(file: Source) -> str:
    return " ".join((ast.get_docstring(file.tree) or "").lower().split())


def _sentences(text: str) -> int:
    return len(SENTENCE_END.findall(text))


def test_every_module_opens_with_its_job() -> None:
    """A docstring stands at the top of each file."""
    assert silent(sources(*ALL)) == []


def test_a_module_without_a_docstring_is_found() -> None:
    """A comment is no docstring."""
    files = [made_up("serve/a.py", "# Reads.\n"), made_up("serve/b.py", '"""Reads."""\n')]
    assert silent(files) == ["serve/a.py"]


def test_a_terse_folder_is_found() -> None:
    """One sentence, and a text that says no limit, are reported."""
    files = [
        made_up("serve/a/__init__.py", '"""Must not know Ray."""\n'),
        made_up("serve/b/__init__.py", '"""Reads rows. Writes rows."""\n'),
        made_up("serve/c/__init__.py", '"""Reads rows.\n\nThis folder must not\nknow Ray.\n"""\n'),
    ]
    assert terse_folders(files) == ["serve/a/__init__.py", "serve/b/__init__.py"]


def test_every_folder_of_the_product_is_described() -> None:
    """Each folder with modules has an `__init__.py`."""
    assert folders_without_description(sources(*PRODUCT, "local")) == []


def test_a_folder_without_a_description_is_found() -> None:
    """A folder with modules but no `__init__.py` is reported."""
    files = [made_up("serve/a/__init__.py", ""), made_up("serve/a/x.py", ""), made_up("serve/b/y.py", "")]
    assert folders_without_description(files) == ["serve/b"]


def test_no_name_is_vague() -> None:
    """No file or folder is called utils, common, helpers or base."""
    assert vague_names(file.path for file in sources(*ALL)) == []


def test_a_vague_name_is_found() -> None:
    """Files and folders are reported, longer names with such a word are not."""
    paths = ["serve/utils.py", "serve/common/rows.py", "serve/base_model.py"]
    assert vague_names(paths) == ["serve/utils.py", "serve/common/rows.py"]


def test_every_folder_says_its_job_and_its_limit() -> None:
    """The `__init__.py` of each folder of the product says in two sentences or more what it does and must not know."""
    assert terse_folders(sources(*PRODUCT, "local")) == []
