"""Reads the texts that the kernel cannot judge, with the `tokenizers` library.

A tokenizer of the library is made for each such text, with only the pieces that occur in the text. It gives the same
ids as one with the whole vocabulary. The best way to split a text depends only on the pieces that occur in it and on
the lowest score of the vocabulary (an unknown character scores 10 below it). Must not know the kernel's rules.
"""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Callable, Iterable

from tokenizers import AddedToken, Tokenizer, models

from functions.tokenizers.memory_mapped.file_format import MappedFile
from functions.tokenizers.memory_mapped.kernel import Kernel, Model
from functions.tokenizers.offsets import LeadingControls
from functions.tokenizers.tokenizer import Encoded
from functions.tokenizers.unigram import read


class LibraryFallback:
    """The rules of one artifact. They are combined with the pieces of each text."""

    def __init__(
        self, mapped: MappedFile, kernel: Kernel, model: Model, pieces: Callable[[Iterable[int]], list[str]]
    ) -> None:
        self._facts, self._kernel, self._model, self._pieces = mapped.facts, kernel, model, pieces
        rules = _rules(mapped)
        self._normalizer, self._split = rules.normalizer, rules.pre_tokenizer
        self._added = [
            AddedToken(token["content"], lstrip=token["lstrip"], rstrip=token["rstrip"], normalized=False, special=True)
            for token in self._facts["added_tokens"]
        ]
        self._ids = {token["content"]: token["id"] for token in self._facts["added_tokens"]}
        self._between = re.compile("|".join(map(re.escape, sorted(self._ids, key=len, reverse=True))) or "(?!)")
        self._leading = LeadingControls(self._normalize, self._ids)
        self._white = frozenset(self._facts["white"])

    def encode(self, text: str) -> Encoded:
        """Return the tokens of the text."""
        chosen = self._candidates(text)
        pieces = self._pieces(chosen)
        held = [self._kernel.find(self._model, piece.encode()) for piece in pieces]
        vocab = [(piece, score) for piece, (_, score) in zip(pieces, filter(None, held), strict=True)]
        small = Tokenizer(models.Unigram(vocab, unk_id=chosen.index(self._facts["unk_id"]), byte_fallback=False))
        if self._normalizer is not None:
            small.normalizer = self._normalizer
        small.pre_tokenizer = self._split
        small.add_special_tokens(self._added)
        real = dict(enumerate(chosen)) | {small.token_to_id(content): i for content, i in self._ids.items()}
        found = read(small, self._leading, self._white, text)
        return Encoded(tuple(real[i] for i in found.ids), found.read_places)

    def _candidates(self, text: str) -> list[int]:
        """Return the sorted ids of all pieces that may occur in the text, and of the pieces that the rules need."""
        needed = [self._facts["unk_id"], self._facts["lowest_id"]]
        stretches = [text, *self._between.split(text)]  # grapheme clusters also end at added tokens
        words = [word for part in stretches for word, _ in self._split.pre_tokenize_str(self._normalize(part))]
        return sorted({*needed, *self._kernel.pieces_in(self._model, "\n".join(words).encode())})

    def _normalize(self, text: str) -> str:
        return text if self._normalizer is None else str(self._normalizer.normalize_str(text))


def _rules(mapped: MappedFile) -> Tokenizer:
    """Return a tokenizer of the library with the rules of a file, and no vocabulary."""
    parts = mapped.parts
    table = struct.pack("<I", len(parts["map"])) + bytes(parts["map"]) + bytes(parts["replacements"])
    precompiled = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(table).decode()}
    each_normalizer = [*([precompiled] if len(parts["map"]) else []), *mapped.facts["other_normalizers"]]
    rules = {
        "version": "1.0", "model": {"type": "Unigram", "vocab": []}, "pre_tokenizer": mapped.facts["pre_tokenizer"],
        "normalizer": {"type": "Sequence", "normalizers": each_normalizer} if each_normalizer else None,
    }  # fmt: skip
    return Tokenizer.from_str(json.dumps(rules))
