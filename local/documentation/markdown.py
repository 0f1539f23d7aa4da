"""Changes a page as GitHub reads it into one that mkdocs reads alike: its links, and the white space of its lists.

Pure functions over text. What stands in fences and in backticks stays. Must not know files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

FENCE = re.compile(r" *(`{3,}|~{3,})")
LINK = re.compile(r"(?<=\]\()(?!\w+:|#|//)([^)#\s]+)")  # what stands in the brackets, without the place on the page
CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)")
ITEM = re.compile(r"( *)(?:[-*+]|\d+[.)]) +\S")
BEGINS = re.compile(r"( *)(?:[-*+]|1[.)]) +\S")  # what may begin a list within a paragraph
INDENT = 4  # of what belongs to an item, as Python-Markdown wants it; GitHub takes two or three as well


def links(text: str) -> list[str]:
    """Return the targets of a page's links to files, as they are written."""
    found: list[str] = []

    def note(target: str) -> str:
        found.append(target)
        return target

    with_links(text, note)
    return found


def with_links(text: str, place: Callable[[str], str]) -> str:
    """Return a page with each target of a link to a file replaced by what `place` says."""
    return "".join(line if fenced else _line_with_links(line, place) for fenced, line in _lines(text))


def _line_with_links(line: str, place: Callable[[str], str]) -> str:
    parts, end = [], 0
    for code in CODE.finditer(line):
        if "](" in code[0] or not line[: code.start()].endswith("["):  # the text of a link may be code, its target not
            parts += [_replaced(line[end : code.start()], place), code[0]]
            end = code.end()
    return "".join([*parts, _replaced(line[end:], place)])


def _replaced(text: str, place: Callable[[str], str]) -> str:
    return LINK.sub(lambda found: place(found[1]), text)


def with_lists(text: str) -> str:
    """Return a page whose lists Python-Markdown sees: an empty line before each, and items of items four spaces in."""
    out: list[str] = []
    widths: list[int] = []  # the spaces before the open items, the outermost first
    blank, broken, spaces = True, True, None  # broken: by an empty line since the last item; spaces: before a fence
    for fenced, line in _lines(text):
        if fenced:
            spaces = _spaces(line) if spaces is None else spaces
            out.append(_fenced(line, widths, spaces))
            blank = False
            continue
        spaces = None
        item = ITEM.match(line) if widths or blank else BEGINS.match(line)
        if item is not None:
            if broken and not blank:
                out.append("\n")
            broken = False
            widths = [*(width for width in widths if width < len(item[1])), len(item[1])]
        elif blank and line.strip() and not line.startswith(" "):
            widths, broken = [], True
        out.append(_moved(line, widths, is_item=item is not None))
        blank = not line.strip()
        broken = broken or blank
    return "".join(out)


def _moved(line: str, widths: list[int], *, is_item: bool) -> str:
    """Return a line with the indentation that its place in the lists wants."""
    if not widths or not line.startswith(" "):
        return line
    depth = len(widths) - 1 if is_item else sum(width < _spaces(line) for width in widths)
    return " " * INDENT * depth + line.lstrip(" ")


def _fenced(line: str, widths: list[int], spaces: int) -> str:
    """Return a line of a fence, moved as far as the fence is, which had `spaces` before it."""
    depth = sum(width < spaces for width in widths)
    return " " * INDENT * depth + line[min(spaces, _spaces(line)) :] if line.strip() else line


def _spaces(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _lines(text: str) -> Iterator[tuple[bool, str]]:
    """Yield each line with its end, and whether it belongs to a fence."""
    mark = ""
    for line in text.splitlines(keepends=True):
        found = FENCE.match(line)
        if mark:
            yield True, line
            if found is not None and found[1].startswith(mark) and not line.strip().strip(mark[0]):
                mark = ""
            continue
        mark = found[1] if found is not None else ""
        yield bool(mark), line
