"""Finds the files of a data set in a folder, and reads them as lines of UTF-8, also from .gz and .xz.

Must not know what stands in the lines.
"""

from __future__ import annotations

import gzip
import lzma
import os
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from shared.errors import Unprocessable

PACKING_ERRORS = (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error)
PACKED = r"(?:\.xz|\.gz)?"
# How data sets name their splits
SPLITS: Mapping[str, tuple[str, ...]] = {
    "train": ("train",),
    "dev": ("dev", "val", "valid", "validation"),
    "test": ("test",),
}


@dataclass(frozen=True, slots=True)
class Found:
    """A file of a data set, with what its path says of it. Names that the path does not have are missing in `parts`."""

    path: Path
    parts: Mapping[str, str]

    @property
    def lang(self) -> str:
        """The language that the path names, or none."""
        return self.parts.get("lang", "")


def ill_formed(path: Path, line: int | str, found: str) -> Unprocessable:
    """Return the error of a file that is not as its format says. `found` states the value and the expectation."""
    where = f"line {line}" if isinstance(line, int) else line
    return Unprocessable(f"{path}, {where}: {found}")


def find(folder: Path, patterns: Sequence[str], split: str) -> list[Found]:
    """Return the files below `folder` whose relative path fits one of the patterns, of one split, in order.

    A pattern is a regular expression with the groups `split` and `lang`, as far as paths say them; a file without the
    first belongs to every split. The first pattern that fits any file decides. Raises Unprocessable when no file fits;
    the message names the splits that there are.
    """
    if not folder.is_dir():
        raise Unprocessable(f"got --data {folder}, expected a folder")
    names = sorted(_names(folder))
    others: set[str] = set()
    for pattern in patterns:
        fits = [(name, match) for name in names if (match := re.fullmatch(pattern + PACKED, name))]
        parts = [(name, {key: text for key, text in match.groupdict().items() if text}) for name, match in fits]
        found = [Found(folder / name, of) for name, of in parts if split_of(of.get("split", split)) == split]
        if found:
            return found
        others |= {split_of(of["split"]) for _, of in parts if "split" in of}
    hint = f"there are others: --split {min(others)}" if others else "docs/evaluate.md names the files"
    raise Unprocessable(f"got no {split} files of this data set in {folder}", hint=hint)


def split_of(name: str) -> str:
    """Return train, dev or test for what a data set calls it; any other name as it is."""
    return next((split for split, names in SPLITS.items() if name in names), name)


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line, without line end and byte order mark.

    Raises Unprocessable for a file that is not UTF-8, or cannot be unpacked.
    """
    number = 0
    try:
        with _opened(path) as stream:
            for number, data in enumerate(stream, 1):
                yield number, _decoded(path, number, data)
    except PACKING_ERRORS as error:
        found = f"got no whole {path.suffix} file ({error}), expected one"
        raise Unprocessable(f"{path}, after line {number}: {found}", hint="copy or download it again") from None


def _decoded(path: Path, number: int, data: bytes) -> str:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ill_formed(path, number, f"got a byte that is not UTF-8 at {error.start}, expected UTF-8") from None
    return (text.removeprefix("\ufeff") if number == 1 else text).rstrip("\r\n")


def read_text(path: Path) -> str:
    """Return a whole file; its lines end with a line feed. Raises as `lines`."""
    return "\n".join(text for _, text in lines(path))


def _names(folder: Path) -> Iterator[str]:
    for place, _, names in os.walk(folder):
        for name in names:
            yield (Path(place) / name).relative_to(folder).as_posix()


def _opened(path: Path) -> BinaryIO:
    if path.suffix == ".xz":
        return cast("BinaryIO", lzma.open(path, "rb"))
    return cast("BinaryIO", gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")
