"""What the kernel must know of each code point, asked of the `tokenizers` library itself.

Its normalizer replaces whole grapheme clusters; which characters join is seen by giving it tables of our own and
looking at what it replaces. So the classes are those of the installed version, not of a table beside it. Names and
values of classes are those of native/unigram.c.
"""

from __future__ import annotations

import struct
import unicodedata
from collections.abc import Iterable
from functools import cache

from tokenizers import normalizers

KEY, OPENS, SURE, EXTENDS, SPACE, CONTROL, LINKS = 1, 2, 4, 8, 16, 32, 64
N_CODE_POINTS = 0x110000
MAX_CLUSTER_BYTES = 5
MARK = "\u0301"
VIRAMA = 9  # the combining class of signs that bind the next consonant
SPACES = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
# Clusters of these depend on more than a neighbour: jamo of Hangul, flags.
JOINING = (range(0x1100, 0x1200), range(0xA960, 0xA980), range(0xD7B0, 0xD800), range(0x1F1E6, 0x1F200))
LETTERS = frozenset({"Lu", "Ll", "Lt", "Lm", "Lo", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm",
                     "Sc", "Sk", "So", "Zs", "Co", "Mc"})  # fmt: skip


def classes_of(keys: Iterable[bytes]) -> bytearray:
    """Return the class of every code point, for a normalizer that replaces these keys; 0 for what no one assigned."""
    classes = bytearray(_clusters())
    for key in keys:
        text = key.decode()
        classes[ord(text[0])] |= KEY if len(text) == 1 else OPENS
    return classes


@cache
def _clusters() -> bytes:
    classes = bytearray(N_CODE_POINTS)
    chars = [char for char in map(chr, range(N_CODE_POINTS)) if unicodedata.category(char) not in {"Cn", "Cs"}]
    extends, prepends, controls = _extending(chars), _prepending(chars), _controls(chars)
    for char in chars:
        category, c = unicodedata.category(char), ord(char)
        if char in extends:
            classes[c] = EXTENDS | (LINKS if unicodedata.combining(char) == VIRAMA or char == "\u200d" else 0)
        elif char in controls:
            classes[c] = CONTROL
        elif category in LETTERS and char not in prepends and not any(c in block for block in JOINING):
            classes[c] = SURE
    for char in SPACES:
        classes[ord(char)] |= SPACE
    return bytes(classes)


def _extending(chars: Iterable[str]) -> set[str]:
    """Return what joins the character before it: "a" is replaced, and what joins it goes with it."""
    return {char for char, read in _read(charsmap([b"a"]), chars, "a", "") if read == "-"}


def _prepending(chars: Iterable[str]) -> set[str]:
    """Return what joins the character after it: with "a" and a mark it is a cluster that no key opens, so both stay."""
    return {char for char, read in _read(charsmap([b"a"]), chars, "", "a" + MARK) if read.endswith(MARK)}


def _controls(chars: Iterable[str]) -> set[str]:
    """Return what no mark joins: a key for every first byte replaces a cluster once, two clusters twice.

    Clusters of four bytes and a mark are too long for that; there categories decide.
    """
    leads = charsmap([bytes([lead]) for lead in range(0xC2, 0xF5)])
    short = [char for char in chars if "\x7f" < char < "\U00010000"]
    found = {char for char, read in _read(leads, short, "", MARK) if read == "--"}
    rest = {char for char in chars if char > "\uffff" and unicodedata.category(char) == "Cc"}
    return found | rest | {char for char in chars if char <= "\x7f" and unicodedata.category(char) == "Cc"}


def _read(table: bytes, chars: Iterable[str], before: str, after: str) -> list[tuple[str, str]]:
    normalizer, chars = normalizers.Precompiled(table), [char for char in chars if char != "\n"]
    read = normalizer.normalize_str("\n".join(before + char + after for char in chars)).split("\n")
    return list(zip(chars, read, strict=True))


def charsmap(keys: Iterable[bytes]) -> bytes:
    """Return a table for `Precompiled` that replaces each of these single bytes by "-"."""
    units = [0] * 1024
    units[0] = 256 << 10
    for key in keys:
        units[256 + key[0]] = 768 << 10 | 1 << 8 | key[0]  # (256 + key) xor 768 is its leaf, whose value 0 is "-"
    trie = struct.pack(f"<{len(units)}I", *units)
    return struct.pack("<I", len(trie)) + trie + b"-\x00"


def keys_of(table: bytes, max_bytes: int = MAX_CLUSTER_BYTES) -> list[bytes]:
    """Return the keys of a `Precompiled` table, walking its double array (darts-clone, as `spm_precompiled` does).

    Longer ones are left out: clusters of more than five bytes are never looked up whole.
    """
    (size,) = struct.unpack_from("<I", table)
    units = struct.unpack_from(f"<{size // 4}I", table, 4)
    keys: list[bytes] = []
    stack = [(_offset(units[0]), b"")] if units else []
    while stack:
        node, prefix = stack.pop()
        for label in range(1, 256):
            at = node ^ label
            if at >= len(units) or units[at] & 0x800000FF != label:
                continue
            key = prefix + bytes([label])
            if units[at] >> 8 & 1:
                keys.append(key)
            if len(key) < max_bytes:
                stack.append((at ^ _offset(units[at]), key))
    return keys


def _offset(unit: int) -> int:
    return (unit >> 10) << ((unit & 0x200) >> 6)
