"""Lays the pages of the site into a folder: those of `docs/`, and every file of the repository that a page links to.

A file that is no page becomes one that shows it. So a link leads somewhere, on GitHub and in the site alike. Must not
know mkdocs.
"""

from __future__ import annotations

import posixpath
import shutil
from collections.abc import Callable
from pathlib import Path

from local.documentation.markdown import links, with_links, with_lists

DOCS = "docs"
OUTSIDE = "repository"  # the folder of the site for files that do not lie in `docs/`
AS_THEY_ARE = (".png", ".svg", ".json", ".js", ".css")
LANGUAGES = {".py": "python", ".yaml": "yaml", ".toml": "toml", ".c": "c", ".h": "c", ".sh": "sh"}
FENCE = "`" * 6  # longer than any in a file


def lay_out(root: Path, out: Path) -> list[str]:
    """Write all pages below `out`, which is emptied first. Return their places in the site, in order."""
    shutil.rmtree(out, ignore_errors=True)
    waiting = sorted(path.relative_to(root).as_posix() for path in (root / DOCS).rglob("*") if path.is_file())
    known = set(waiting)
    while waiting:
        path = waiting.pop()
        target = out / place(root, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.endswith(AS_THEY_ARE):
            shutil.copyfile(root / path, target)
            continue
        text, linked = page(root, path)
        target.write_text(text, encoding="utf-8")
        waiting += sorted(linked - known)
        known |= linked
    return sorted(place(root, path) for path in known)


def page(root: Path, path: str) -> tuple[str, set[str]]:
    """Return the text of the page for a file or folder, and the files and folders that it links to."""
    if (root / path).is_dir():
        text = _listing(root / path, path)
    else:
        text = (root / path).read_text(encoding="utf-8")
        if not path.endswith(".md"):
            return f"# {path}\n\n{FENCE}{LANGUAGES.get(Path(path).suffix, 'text')}\n{text}\n{FENCE}\n", set()
    linked = {target: _resolved(root, path, target) for target in links(text)}
    kept = {target: found for target, found in linked.items() if (root / found).exists()}
    return with_lists(with_links(text, _relative(root, path, kept))), set(kept.values())


def place(root: Path, path: str) -> str:
    """Return where a file or folder of the repository lies in the site."""
    if (root / path).is_dir():
        path = f"{path}/index.md"
    inside = path.removeprefix(f"{DOCS}/")
    if inside != path:
        return inside
    return f"{OUTSIDE}/{path}" if path.endswith((".md", *AS_THEY_ARE)) else f"{OUTSIDE}/{path}.md"


def _resolved(root: Path, path: str, target: str) -> str:
    """Return the file or folder that a link of a page means; for a folder with a page of its own, that page."""
    found = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    return f"{found}/README.md" if (root / found / "README.md").exists() else found


def _relative(root: Path, path: str, linked: dict[str, str]) -> Callable[[str], str]:
    start = posixpath.dirname(place(root, path))

    def at(target: str) -> str:
        found = linked.get(target)
        return target if found is None else posixpath.relpath(place(root, found), start or ".")

    return at


def _listing(folder: Path, path: str) -> str:
    """Return a page with the names of a folder that has no page of its own."""
    names = sorted(each.name + "/" * each.is_dir() for each in folder.iterdir() if each.name[0] not in "._")
    return "\n".join([f"# {path}", "", *(f"- `{name}`" for name in names), ""])
