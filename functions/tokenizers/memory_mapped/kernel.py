"""The native kernel by ctypes: its arguments, its buffers, and which file is this machine's.

What it does is said in its source, glossa/tokenizer_build/native/unigram.c. Must not know files' layouts or special
tokens.
"""

from __future__ import annotations

import ctypes
import platform
import struct
import threading
from pathlib import Path
from typing import Any, Final

from functions.tokenizers.tokenizer import Encoded

UNSURE: Final = -1  # text whose clusters the kernel does not judge
FULL: Final = -2
MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
KEPT_BYTES = 1 << 16  # buffers for longer words are not kept
UNIT_BYTES = 16
NODE_BYTES = 16
SPAN = struct.Struct("=ii")


class Model(ctypes.Structure):
    """`Model` of the kernel: where the parts of a mapped file lie."""

    _fields_ = [
        ("units", ctypes.c_void_p), ("classes", ctypes.c_void_p),
        ("map", ctypes.c_void_p), ("replacements", ctypes.c_void_p),
        ("n_units", ctypes.c_int64), ("n_map", ctypes.c_int64), ("n_replacements", ctypes.c_int64),
        ("unk_score", ctypes.c_double), ("unk_id", ctypes.c_int32),
    ]  # fmt: skip


class _State(ctypes.Structure):
    """`State` of the kernel: where it writes, and what it keeps while it reads a text."""

    _fields_ = [
        *[(name, ctypes.c_void_p) for name in ("ids", "spans", "word_starts", "word", "places", "nodes")],
        *[(name, ctypes.c_int64) for name in ("capacity", "word_capacity", "n_tokens", "n_word")],
        *[(name, ctypes.c_int32) for name in ("cursor", "is_inserted", "has_output")],
        ("flags", ctypes.c_uint32),
    ]


class _Buffers:
    """What one call writes into: arrays for `n` tokens, and for one word of `n` bytes."""

    def __init__(self, n: int) -> None:
        self.n = n
        sizes = (4 * n, SPAN.size * n, n, n, 4 * n, NODE_BYTES * (n + 1))
        self.memory = tuple((ctypes.c_uint8 * size)() for size in sizes)
        self.state = _State(*map(ctypes.addressof, self.memory), n, n)
        self.address = ctypes.addressof(self.state)
        ids, self.spans, word_starts = (memoryview(array).cast("B") for array in self.memory[:3])
        self.ids: Any = ids.cast("i")
        self.word_starts: Any = word_starts.cast("?")


class Kernel:
    """The kernel's functions. Buffers are per thread; calls run without the interpreter's lock."""

    def __init__(self, path: Path) -> None:
        """Load a shared library. Raises OSError when it is not this machine's."""
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
        """Return the tokens of UTF-8 text whose first code point is at `place`, and whether spans may lack code points.

        None where the kernel is unsure.
        """
        found, buffers = self._read(model, text, place)
        if found == UNSURE:
            return None
        spans: tuple[Any, ...] = tuple(SPAN.iter_unpack(buffers.spans[: SPAN.size * found]))
        ids, word_starts = tuple(buffers.ids[:found].tolist()), tuple(buffers.word_starts[:found].tolist())
        return Encoded(ids, spans, word_starts), bool(buffers.state.flags)

    def ids(self, model: Model, text: bytes) -> list[int] | None:
        """Return the ids alone; None where the kernel is unsure."""
        found, buffers = self._read(model, text, 0)
        return buffers.ids[:found].tolist() if found != UNSURE else None

    def find(self, model: Model, piece: bytes) -> tuple[int, float] | None:
        """Return the id and the score of a piece, None when there is none."""
        score = ctypes.c_double()
        found = self._find(ctypes.byref(model), piece, len(piece), ctypes.byref(score))
        return (found, score.value) if found >= 0 else None

    def pieces_in(self, model: Model, text: bytes) -> set[int]:
        """Return the ids of all pieces that stand anywhere in UTF-8 text."""
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


def kernel_name(machine: str | None = None) -> str | None:
    """Return the file name of a machine type's kernel, by default of this machine; None where there is none."""
    known = MACHINES.get((machine or platform.machine()).lower())
    return f"unigram-{known}.so" if known else None
