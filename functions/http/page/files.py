"""The files of the playground and the API reference, as browsers get them.

The scripts are modules in the source. Here those of a page become one file, because each file is a call of the
function. A first visit asks for four: the page, its style, its script and its icon. Must not know routes or requests.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "static"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
ENTRIES = ("page.js", "docs.js")  # each page has one script; all others are its modules
ASSETS = "{assets}"  # in a page, the address of its files
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([\w.]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?function|const|class|let)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class File:
    """What a browser gets. `tag` changes with the text."""

    text: str
    content_type: str
    tag: str


@cache
def files() -> Mapping[str, File]:
    """Return every file by its name. Pages name their files below an address that changes with any of them."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in sorted(FOLDER.iterdir()) if path.suffix in TYPES}
    scripts = {name: text for name, text in texts.items() if name.endswith(".js")}
    served = {name: text for name, text in texts.items() if name not in scripts}
    served |= {name: joined(scripts, name) for name in ENTRIES}
    address = f"page/{_digest(*served.values())}"
    served = {name: text.replace(ASSETS, address) if name.endswith(".html") else text for name, text in served.items()}
    return {name: File(text, TYPES[Path(name).suffix], _digest(text)) for name, text in served.items()}


@cache
def digest() -> str:
    """Return the part of the files' address that changes with any of them."""
    found = re.search(r"page/([0-9a-f]+)/", files()["index.html"].text)
    return found[1] if found else ""


def joined(scripts: Mapping[str, str], entry: str) -> str:
    """Return a script with the modules that it imports before it, each once, without imports and exports.

    Modules share one scope then, so no two may use one name at their top. Raises KeyError for a module that is not
    there.
    """
    parts: list[str] = []
    seen: set[str] = set()

    def add(name: str) -> None:
        if name in seen:
            return
        seen.add(name)
        for module in _IMPORT.findall(scripts[name]):
            add(module)
        parts.append(_EXPORT.sub("", _IMPORT.sub("", scripts[name])).strip())

    add(entry)
    return "\n\n".join(parts) + "\n"


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
