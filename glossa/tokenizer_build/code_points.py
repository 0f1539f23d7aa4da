r"""Gives every Unicode code point the class that the tokenizer kernel needs.

The `tokenizers` library normalizes one grapheme cluster at a time. The kernel must therefore know which characters
join their neighbours. The `regex` library says which ones do (its `\X` matches one cluster), and a test compares the
answers with the `tokenizers` library itself. The names and values of the classes are those of native/unigram.c.
"""

from __future__ import annotations

import struct
import unicodedata
from collections.abc import Iterable
from functools import cache

import regex

from functions.tokenizers.offsets import SPACES

KEY, OPENS, SURE, EXTENDS, SPACE, CONTROL, LINKS, WHITE = 1, 2, 4, 8, 16, 32, 64, 128
N_CODE_POINTS = 0x110000
MAX_CLUSTER_BYTES = 5
LETTER, MARK = "a", "\u0301"
LAST_OF_THREE_BYTES = "\uffff"
VIRAMA = 9  # the combining class of signs that bind the next consonant
# Whether these join depends on more than one neighbour: letters of Korean syllables, and flags.
JOINING = (range(0x1100, 0x1200), range(0xA960, 0xA980), range(0xD7B0, 0xD800), range(0x1F1E6, 0x1F200))
LETTERS = frozenset({"Lu", "Ll", "Lt", "Lm", "Lo", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm",
                     "Sc", "Sk", "So", "Zs", "Co", "Mc"})  # fmt: skip
_CLUSTER = regex.compile(r"\X")


def classes_of(keys: Iterable[bytes], white: Iterable[str] = ()) -> bytearray:
    """Return the class of every code point for a normalizer that replaces `keys`; one byte each, 0 if unassigned.

    `white` are the characters that spans do not begin or end with.
    """
    classes = bytearray(_clusters())
    for key in keys:
        text = key.decode()
        classes[ord(text[0])] |= KEY if len(text) == 1 else OPENS
    for char in white:
        classes[ord(char)] |= WHITE
    return classes


def is_extending(char: str) -> bool:
    """Return whether a character joins the letter before it."""
    return _is_cluster(LETTER + char)


def is_prepended(char: str) -> bool:
    """Return whether a character joins the letter after it."""
    return _is_cluster(char + LETTER + MARK)


def is_control(char: str) -> bool:
    """Return whether no mark joins a character of up to three bytes.

    A character of four bytes is never a control here. The tokenizers library shows no difference between one cluster
    and two for those, so the kernel leaves texts with such characters to the library.
    """
    return char <= LAST_OF_THREE_BYTES and not _is_cluster(char + MARK)


def _is_cluster(text: str) -> bool:
    return _CLUSTER.fullmatch(text) is not None


@cache
def _clusters() -> bytes:
    classes = bytearray(N_CODE_POINTS)
    for char in map(chr, range(N_CODE_POINTS)):
        if (category := unicodedata.category(char)) not in {"Cn", "Cs"}:
            classes[ord(char)] = _class_of(char, category)
    for char in SPACES:
        classes[ord(char)] |= SPACE
    return bytes(classes)


def _class_of(char: str, category: str) -> int:
    if is_extending(char):
        return EXTENDS | (LINKS if unicodedata.combining(char) == VIRAMA or char == "\u200d" else 0)
    if is_control(char):
        return CONTROL
    joins = is_prepended(char) or any(ord(char) in block for block in JOINING)
    return SURE if category in LETTERS and not joins else 0


def keys_of(table: bytes, max_bytes: int = MAX_CLUSTER_BYTES) -> list[bytes]:
    """Return the keys of a `Precompiled` table: a walk over its double array (darts-clone, as `spm_precompiled` does).

    Keys of more than `max_bytes` are left out: the library never looks up a longer cluster as a whole.
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
