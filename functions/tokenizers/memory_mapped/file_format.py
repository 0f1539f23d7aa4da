"""The file format of a prebuilt tokenizer: a JSON header, then parts that the kernel reads in place.

Must not know how the parts are made or used.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAME = "tokenizer.unigram"
MAGIC = b"glossa unigram 2"
HEAD = struct.Struct("<16sQ")  # magic, length of the header
ALIGNED_BYTES = 64
WORD_MARK = "\u2581"  # stands for the space before a word


@dataclass(frozen=True, slots=True)
class MappedFile:
    """A prebuilt file that is mapped into memory. The system reads a page of it when the page is first used.

    `facts` is the header without the places of the parts. `start` is the offset of the first part in bytes.
    """

    facts: Mapping[str, Any]
    parts: Mapping[str, memoryview]
    start: int

    def address(self, part: str) -> int:
        """Return the address of a part in memory, or 0 for an empty part."""
        return ctypes.addressof(ctypes.c_char.from_buffer(self.parts[part])) if len(self.parts[part]) else 0


def write(facts: Mapping[str, Any], parts: Mapping[str, bytes | bytearray | memoryview]) -> bytes:
    """Return the bytes of a prebuilt file. Every part begins at a multiple of 64 bytes."""
    places: dict[str, list[int]] = {}
    at = 0
    for name, part in parts.items():
        places[name] = [at, len(part)]
        at += _aligned(len(part))
    header = json.dumps({**facts, "parts": places}, ensure_ascii=False).encode()
    start = _aligned(HEAD.size + len(header))
    out = bytearray(start + at)
    out[: HEAD.size + len(header)] = HEAD.pack(MAGIC, len(header)) + header
    for name, part in parts.items():
        first = start + places[name][0]
        out[first : first + len(part)] = part
    return bytes(out)


def map_file(path: Path) -> MappedFile:
    """Map a prebuilt file into memory.

    Raises OSError, and ValueError when the file is cut short or is no prebuilt tokenizer of this version.
    """
    with path.open("rb") as file:
        # a private mapping, because ctypes gives addresses of writable memory only; nothing writes to it
        whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    if len(whole) < HEAD.size or whole[: len(MAGIC)] != MAGIC:
        raise ValueError(f"{path.name}: got something else, expected a prebuilt tokenizer: glossa artifacts makes it")
    _, n_header = HEAD.unpack_from(whole)
    facts = json.loads(bytes(whole[HEAD.size : HEAD.size + n_header]))
    start = _aligned(HEAD.size + n_header)
    places = facts.pop("parts")
    if any(start + first + length > len(whole) for first, length in places.values()):
        raise ValueError(f"{path.name}: got {len(whole)} bytes, expected more: the file was cut short")
    parts = {name: whole[start + first : start + first + length] for name, (first, length) in places.items()}
    return MappedFile(facts, parts, start)


def _aligned(n_bytes: int) -> int:
    return -(-n_bytes // ALIGNED_BYTES) * ALIGNED_BYTES
