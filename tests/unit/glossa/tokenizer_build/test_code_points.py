"""The classes of code points agree with the clusters of the `tokenizers` library, character by character.

The library's normalizer replaces whole clusters. These tests give it tables of their own and look at what it replaces.
"""

from __future__ import annotations

import struct
import unicodedata
from collections.abc import Iterable
from hashlib import sha256

import pytest
from tokenizers import normalizers

from glossa.tokenizer_build.code_points import MARK, classes_of, is_control, is_extending, is_prepended

# Assigned characters; a line feed separates them in what the library reads.
CHARS = [char for char in map(chr, range(0x110000)) if unicodedata.category(char) not in {"Cn", "Cs"} and char != "\n"]
THREE_BYTES = [char for char in CHARS if "\x7f" < char < "\U00010000"]


def charsmap(keys: Iterable[bytes]) -> bytes:
    """Return a table for `Precompiled` that replaces each of these single bytes by "-"."""
    units = [0] * 1024
    units[0] = 256 << 10
    for key in keys:
        units[256 + key[0]] = 768 << 10 | 1 << 8 | key[0]  # (256 + key) xor 768 is its leaf, whose value 0 is "-"
    trie = struct.pack(f"<{len(units)}I", *units)
    return struct.pack("<I", len(trie)) + trie + b"-\x00"


def normalized(table: bytes, chars: Iterable[str], before: str, after: str) -> list[tuple[str, str]]:
    """Return each character with what the library makes of it between two texts."""
    chars = list(chars)
    read = normalizers.Precompiled(table).normalize_str("\n".join(before + char + after for char in chars))
    return list(zip(chars, read.split("\n"), strict=True))


def test_extending_characters_join_the_letter_before_them() -> None:
    """The table replaces "a", and what joins it disappears with it."""
    found = {char for char, read in normalized(charsmap([b"a"]), CHARS, "a", "") if read == "-"}
    assert found == {char for char in CHARS if is_extending(char)}


def test_prepended_characters_join_the_letter_after_them() -> None:
    """With "a" and a mark they are one cluster that no key opens, so the mark stays."""
    found = {char for char, read in normalized(charsmap([b"a"]), CHARS, "", "a" + MARK) if read.endswith(MARK)}
    assert found == {char for char in CHARS if is_prepended(char)}


def test_controls_are_joined_by_no_mark() -> None:
    """A key for every first byte replaces one cluster once and two clusters twice."""
    leads = charsmap([bytes([lead]) for lead in range(0xC2, 0xF5)])
    found = {char for char, read in normalized(leads, THREE_BYTES, "", MARK) if read == "--"}
    assert found == {char for char in THREE_BYTES if is_control(char)}


@pytest.mark.parametrize("char", ["\n", "\r", "\t", "\x00", "\x7f"])
def test_ascii_controls_are_controls(char: str) -> None:
    """No mark joins a control character of ASCII."""
    assert is_control(char)


def test_characters_of_four_bytes_are_no_controls() -> None:
    """The library cannot be asked about them, so texts with format characters such as tags are left to it."""
    assert not any(is_control(char) for char in ("\U0001d173", "\U000e0001", "\U00013430"))


def test_the_table_is_the_one_that_was_compared_with_the_library() -> None:
    """The classes keep their bytes, for the Unicode version of Python 3.11 that builds them here."""
    if unicodedata.unidata_version != "14.0.0":
        pytest.skip("another Unicode version assigns more characters")
    digest = sha256(classes_of(())).hexdigest()
    assert digest == "7c9311f353bce25ab33eb643514831921b540c3bc21cd4d28e8f35a3a3def4f6"
