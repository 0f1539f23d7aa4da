"""The files of the pages: small, joined as their imports say, and named by what they hold."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

import pytest

from functions.http.page.files import ENTRIES, FOLDER, digest, files, joined

MAX_BYTES = 150_000
TOP = re.compile(r"^(?:export )?(?:async )?(?:function|const|let|class) (\w+)", re.MULTILINE)
# what would make markup or code of a text, or send it elsewhere
UNSAFE = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|srcdoc")
KEEPS = re.compile(r"localStorage|sessionStorage|indexedDB|document\.cookie|serviceWorker")


def scripts() -> dict[str, str]:
    """Return the scripts of the source by name."""
    return {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.js")}


def test_a_script_stands_after_the_modules_that_it_imports() -> None:
    """Each module is there once, without its imports and exports."""
    modules = {
        "a.js": 'import { c } from "./c.js";\nimport {\n  b,\n} from "./b.js";\nb(c);\n',
        "b.js": 'import { c } from "./c.js";\nexport function b(x) { return x + c; }\n',
        "c.js": "// a number\nexport const c = 1;\n",
    }
    wanted = "// a number\nconst c = 1;\n\nfunction b(x) { return x + c; }\n\nb(c);\n"
    assert joined(modules, "a.js") == wanted
    with pytest.raises(KeyError):
        joined({"a.js": 'import { b } from "./b.js";\n'}, "a.js")


def names_twice(text: str) -> list[str]:
    """Return the names that a script defines at its top more than once."""
    return [name for name, n in Counter(TOP.findall(text)).items() if n > 1]


def left_over(texts: Mapping[str, str]) -> list[str]:
    """Return the modules that no page has. The first line of each says its job, and is found nowhere else."""
    whole = "".join(joined(texts, entry) for entry in ENTRIES).splitlines()
    return [name for name, text in texts.items() if whole.count(text.splitlines()[0]) == 0]


def test_a_name_that_two_modules_use_is_found() -> None:
    """The check below can fail, for functions and for values."""
    modules = {
        "a.js": 'import { b } from "./b.js";\nconst one = b;\nasync function two() {}\n',
        "b.js": "let one = 1;\nexport function two() {}\nexport const b = one;\n",
    }
    assert names_twice(joined(modules, "a.js")) == ["one", "two"]


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_joined_script_has_no_name_twice(entry: str) -> None:
    """Modules share one scope, and a name that two of them use would stop the page."""
    text = joined(scripts(), entry)
    assert not re.search(r"^(?:import|export) ", text, re.MULTILINE)
    assert names_twice(text) == []


def test_a_module_that_nobody_imports_is_found() -> None:
    """The check below can fail, even where all names of the module are words that others use."""
    assert left_over(scripts() | {"more.js": "// A module of its own.\nexport function count() {}\n"}) == ["more.js"]


def test_every_script_is_part_of_a_page() -> None:
    """No module is left over, and each begins with its job."""
    texts = scripts()
    assert [name for name, text in texts.items() if not text.startswith("// ")] == []
    assert left_over(texts) == []


def test_the_pages_are_small() -> None:
    """All files of both pages together have less than 150 kB, as they are, without compression."""
    assert sum(len(file.text.encode()) for file in files().values()) < MAX_BYTES


def test_the_pages_name_no_other_host() -> None:
    """No file names an address of somebody else. The namespace of SVG is no address that is opened."""
    for name, file in files().items():
        text = file.text.replace("http://www.w3.org/2000/svg", "")
        assert re.findall(r"(?:https?:)?//[\w-]+\.[\w.-]+", text) == [], name


def test_no_script_makes_markup_of_a_text_or_keeps_it() -> None:
    """Text of a model becomes text nodes. Nothing is stored: neither texts nor the key."""
    for name, text in scripts().items():
        assert UNSAFE.findall(text) == KEEPS.findall(text) == [], name


def test_no_page_has_a_script_or_a_style_within() -> None:
    """The policy of the pages refuses both, and attributes that hold either."""
    for name in ("index.html", "docs.html"):
        text = files()[name].text
        assert re.findall(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", text) == [], name


def test_pages_name_their_files_by_an_address_that_changes_with_them() -> None:
    """So browsers may keep the files for ever."""
    for name in ("index.html", "docs.html"):
        named = re.findall(r'(?:href|src)="(page/[^"]+)"', files()[name].text)
        assert len(named) >= 3
        for address in named:
            folder, version, file = address.split("/")
            assert (folder, version, file in files()) == ("page", digest(), True)
