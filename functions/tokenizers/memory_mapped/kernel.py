"""Calls the native kernel through ctypes: its arguments, its buffers, and the file name for this machine.

The source of the kernel, glossa/tokenizer_build/native/unigram.c, explains what it does. This module must not know file
formats or special tokens.
"""

from __future__ import annotations

import ctypes
import platform
import struct
import threading
from enum import IntFlag
from pathlib import Path
from typing import Any, Final

from functions.tokenizers.tokenizer import Encoded, Places

UNSURE: Final = -1  # the kernel cannot judge the grapheme clusters of the text
FULL: Final = -2  # the buffers are too small
MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
KEPT_BYTES = 1 << 16  # buffers for longer texts are not kept for the next call
UNIT_BYTES = 16
NODE_BYTES = 16
SPAN = struct.Struct("=ii")


class Rule(IntFlag):
    """The rules of a tokenizer, by their names and values in the kernel.

    With SPLITS, a text is split at white space, which is dropped. Without it, each space becomes a mark that begins a
    word: of several spaces one, with MERGES_SPACES; none at an end, with STRIPS_LEFT or STRIPS_RIGHT. MARKS_ALL puts a
    mark before each first word that has none, MARKS_FIRST only at the very start of a text.
    """

    SPLITS = 1
    MERGES_SPACES = 2
    STRIPS_LEFT = 4
    STRIPS_RIGHT = 8
    MARKS_ALL = 16
    MARKS_FIRST = 32


class Model(ctypes.Structure):
    """The struct `Model` of the kernel: addresses and sizes of the parts of a mapped file."""

    _fields_ = [
        ("units", ctypes.c_void_p), ("classes", ctypes.c_void_p),
        ("map", ctypes.c_void_p), ("replacements", ctypes.c_void_p),
        ("n_units", ctypes.c_int64), ("n_map", ctypes.c_int64), ("n_replacements", ctypes.c_int64),
        ("unk_score", ctypes.c_double), ("unk_id", ctypes.c_int32), ("rules", ctypes.c_int32),
    ]  # fmt: skip


class _State(ctypes.Structure):
    """The struct `State` of the kernel: the buffers that it writes to, and its state while it reads a text."""

    _fields_ = [
        *[(name, ctypes.c_void_p) for name in ("ids", "spans", "word_starts", "word", "places", "nodes")],
        *[(name, ctypes.c_int64) for name in ("capacity", "word_capacity", "n_tokens", "n_word", "n_stripped")],
        *[(name, ctypes.c_int32) for name in ("cursor", "is_inserted", "has_output")],
        *[(name, ctypes.c_int32) for name in ("has_text", "is_after_space", "trims")],
        ("flags", ctypes.c_uint32),
    ]


class _Buffers:
    """The buffers of one call: arrays for `n` tokens, and for one word of `n` bytes."""

    def __init__(self, n: int) -> None:
        self.n = n
        sizes = (4 * n, SPAN.size * n, n, n, 4 * n, NODE_BYTES * (n + 1))
        self.memory = tuple((ctypes.c_uint8 * size)() for size in sizes)
        self.state = _State(*map(ctypes.addressof, self.memory), n, n)
        self.address = ctypes.addressof(self.state)
        ids, self.spans, self.word_starts = (memoryview(array).cast("B") for array in self.memory[:3])
        self.ids: Any = ids.cast("i")


class Kernel:
    """The functions of the kernel. Each thread has its own buffers. Calls release the interpreter's lock."""

    def __init__(self, path: Path) -> None:
        """Load a shared library. Raises OSError when it was not built for this machine."""
        library = ctypes.CDLL(str(path))
        pointer, n_bytes = ctypes.c_void_p, ctypes.c_int64
        self._encode = library.glossa_encode
        self._encode.argtypes = [pointer, pointer, ctypes.c_char_p, n_bytes, ctypes.c_int32]
        self._encode.restype = ctypes.c_int64
        self._find = library.glossa_find
        self._find.argtypes = [pointer, ctypes.c_char_p, n_bytes, pointer]
        self._find.restype = ctypes.c_int32
        self._pieces_in = library.glossa_pieces_in
        self._pieces_in.argtypes = [pointer, ctypes.c_char_p, n_bytes, pointer, ctypes.c_int64]
        self._pieces_in.restype = ctypes.c_int64
        self.build = library.glossa_build
        self.build.restype = ctypes.c_int64
        self._kept = threading.local()

    def encode(self, model: Model, text: bytes, place: int = 0) -> tuple[Encoded, bool] | None:
        """Return the tokens of UTF-8 text, and whether their spans may lack composing code points.

        `place` is the index of the text's first code point in the whole text. Returns None when the kernel is unsure.
        """
        found, buffers = self._read(model, text, place)
        if found == UNSURE:
            return None
        spans, word_starts = bytes(buffers.spans[: SPAN.size * found]), bytes(buffers.word_starts[:found])
        encoded = Encoded(tuple(buffers.ids[:found].tolist()), lambda: _places(spans, word_starts))
        return encoded, bool(buffers.state.flags)

    def ids(self, model: Model, text: bytes) -> list[int] | None:
        """Return only the ids of the tokens, or None when the kernel is unsure."""
        found, buffers = self._read(model, text, 0)
        return buffers.ids[:found].tolist() if found != UNSURE else None

    def find(self, model: Model, piece: bytes) -> tuple[int, float] | None:
        """Return the id and the score of a piece, or None when the vocabulary has no such piece."""
        score = ctypes.c_double()
        found = self._find(ctypes.byref(model), piece, len(piece), ctypes.byref(score))
        return (found, score.value) if found >= 0 else None

    def pieces_in(self, model: Model, text: bytes) -> set[int]:
        """Return the ids of all pieces that occur anywhere in UTF-8 text."""
        n = 16 * len(text) + 64
        while True:
            ids = (ctypes.c_int32 * n)()
            found = self._pieces_in(ctypes.byref(model), text, len(text), ids, n)
            if found != FULL:
                return set(ids[:found])
            n *= 4

    def _read(self, model: Model, text: bytes, place: int) -> tuple[int, _Buffers]:
        buffers, address, n = self._buffers(2 * len(text) + 64), ctypes.addressof(model), len(text)
        while (found := self._encode(address, buffers.address, text, n, place)) == FULL:
            buffers = _Buffers(4 * buffers.n)
        return found, buffers

    def _buffers(self, n: int) -> _Buffers:
        if n > KEPT_BYTES:
            return _Buffers(n)
        kept: _Buffers | None = getattr(self._kept, "buffers", None)
        if kept is None:
            kept = self._kept.buffers = _Buffers(KEPT_BYTES)
        return kept


def _places(spans: bytes, word_starts: bytes) -> Places:
    """Return the offsets and the word starts that the kernel wrote."""
    pairs: Any = SPAN.iter_unpack(spans)
    return tuple(pairs), tuple(map(bool, word_starts))


def kernel_name(machine: str | None = None) -> str | None:
    """Return the file name of the kernel for a machine type, by default this one. None when there is no kernel."""
    known = MACHINES.get((machine or platform.machine()).lower())
    return f"unigram-{known}.so" if known else None
