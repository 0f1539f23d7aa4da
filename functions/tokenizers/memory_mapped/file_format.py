"""The layout of a prebuilt tokenizer: a header of JSON, then parts that the kernel reads where they lie.

Must not know how a part is made or used.
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
MAGIC = b"glossa unigram 1"
HEAD = struct.Struct("<16sQ")  # magic, length of the header
ALIGNED_BYTES = 64


@dataclass(frozen=True, slots=True)
class Mapped:
    """A prebuilt file in memory: pages are read when touched. `facts` is its header without the places of parts."""

    facts: Mapping[str, Any]
    parts: Mapping[str, memoryview]
    start: int

    def address(self, part: str) -> int:
        """Return where a part lies in memory."""
        return ctypes.addressof(ctypes.c_char.from_buffer(self.parts[part])) if len(self.parts[part]) else 0


def write(facts: Mapping[str, Any], parts: Mapping[str, bytes | bytearray | memoryview]) -> bytes:
    """Return the bytes of a prebuilt file."""
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


def map_file(path: Path) -> Mapped:
    """Map a prebuilt file. Raises ValueError when it is not one of this version, or cut short."""
    with path.open("rb") as file:
        # a private mapping: nothing writes to it, and ctypes takes addresses of writable memory only
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
    return Mapped(facts, parts, start)


def _aligned(n_bytes: int) -> int:
    return -(-n_bytes // ALIGNED_BYTES) * ALIGNED_BYTES
