"""Reads by the `tokenizers` library what the kernel leaves: over the pieces that stand in the text, not all.

Which path is best depends on the pieces that occur, the lowest score (unknown characters cost 10 more) and nothing else
of the vocabulary, so that a small tokenizer gives the ids of the whole one. Must not know the kernel's rules.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

from functions.tokenizers.memory_mapped.file_format import Mapped
from functions.tokenizers.memory_mapped.kernel import Kernel, Model
from functions.tokenizers.offsets import LeadingControls
from functions.tokenizers.tokenizer import Encoded
from functions.tokenizers.unigram import read

WORD_MARK = "\u2581"


class Library:
    """The rules of one artifact, to be put around the pieces of one text."""

    def __init__(
        self, mapped: Mapped, kernel: Kernel, model: Model, pieces: Callable[[Iterable[int]], list[str]]
    ) -> None:
        self._facts, self._kernel, self._model, self._pieces = mapped.facts, kernel, model, pieces
        parts = mapped.parts
        charsmap = struct.pack("<I", len(parts["map"])) + bytes(parts["map"]) + bytes(parts["replacements"])
        self._normalizer = normalizers.Precompiled(charsmap) if len(parts["map"]) else None
        self._split = pre_tokenizers.Sequence(
            [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(WORD_MARK, "always", split=True)]
        )
        self._added = [
            AddedToken(token["content"], lstrip=token["lstrip"], rstrip=token["rstrip"], normalized=False, special=True)
            for token in self._facts["added_tokens"]
        ]
        self._ids = {token["content"]: token["id"] for token in self._facts["added_tokens"]}
        self._leading = LeadingControls(self._normalize, self._ids)

    def encode(self, text: str) -> Encoded:
        """Return the ids of the whole text and where each stands."""
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
        found = read(small, self._leading, text)
        return Encoded(tuple(real[i] for i in found.ids), found.offsets, found.word_starts)

    def _candidates(self, text: str) -> list[int]:
        """Return the ids of pieces that any way of cutting the text may need, those that stand for the rules first."""
        needed = [self._facts["unk_id"], self._facts["lowest_id"]]
        stretches = [text, *self._cut(text)]
        words = [word for part in stretches for word, _ in self._split.pre_tokenize_str(self._normalize(part))]
        return sorted({*needed, *self._kernel.pieces_in(self._model, "\n".join(words).encode())})

    def _cut(self, text: str) -> list[str]:
        """Return the text between added tokens, where clusters end too."""
        for content in sorted(self._ids, key=len, reverse=True):
            text = text.replace(content, "\n")
        return text.split("\n")

    def _normalize(self, text: str) -> str:
        return text if self._normalizer is None else str(self._normalizer.normalize_str(text))
