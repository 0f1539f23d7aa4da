"""The tokenizer of XLM-RoBERTa, XLM-RoBERTa-XL and XLM-V over a prebuilt file.

A native kernel reads the text. The `tokenizers` library reads the few texts that the kernel cannot judge. Ids and spans
equal those of `JsonTokenizer` on every text. For each normalized byte the kernel keeps the code point that it comes
from, aligned as in `NormalizedString` of the `tokenizers` crate. The span of a token begins at the code point of its
first byte and ends with that of its last byte. This module must not know models, windows or tasks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from functions.tokenizers.memory_mapped.file_format import WORD_MARK, map_file
from functions.tokenizers.memory_mapped.kernel import UNIT_BYTES, Kernel, Model
from functions.tokenizers.offsets import SPACES, Span, include_composing_marks, trim
from functions.tokenizers.tokenizer import Encoded, Layout

if TYPE_CHECKING:
    from functions.tokenizers.memory_mapped.library_fallback import LibraryFallback


class MemoryMappedTokenizer:
    """A Tokenizer with the same rules for all languages: it ignores `lang`."""

    def __init__(self, path: Path, kernel: Kernel) -> None:
        """Map a prebuilt file into memory. Raises OSError, and ValueError when the file is no prebuilt tokenizer."""
        self._file = map_file(path)
        facts = self._file.facts
        self.fingerprint: str = facts["source_sha256"]
        self.vocab_size: int = facts["vocab_size"]
        self.unk_id: int | None = facts["unk_id"]
        self.mask_token: str | None = facts["mask_token"]
        first, middle, last, pair_type = facts["layout"]
        self.layout = Layout(tuple(first), tuple(middle), tuple(last), pair_type)
        self._kernel = kernel
        self._model = _model(self)
        self._added: dict[str, int] = {token["content"]: token["id"] for token in facts["added_tokens"]}
        self._special = frozenset(token["id"] for token in facts["added_tokens"] if token["special"])
        self._strips = {token["content"]: (token["lstrip"], token["rstrip"]) for token in facts["added_tokens"]}
        self._added_pattern = _pattern(self._added)
        self._first_chars = tuple({content[0] for content in self._added})
        self._first_mark = "" if facts["drops_first_mark"] else " "
        parts = self._file.parts
        self._white = frozenset(facts["white"])
        self._corrects_all = not len(parts["map"])  # the kernel marks only what a normalizer changed
        self._piece_bytes, self._piece_ends = parts["pieces"], parts["piece_ends"].cast("I")

    def encode(self, text: str, lang: str | None = None) -> Encoded:  # noqa: ARG002 - the same rules for all languages
        """Return the tokens of the text. Special tokens are not added."""
        for char in self._first_chars:
            if char in text and self._added_pattern.search(text):
                return self._encode_stretches(text)
        found = self._kernel.encode(self._model, text.encode())
        if found is None:
            return self._library.encode(text)
        encoded, may_lack_marks = found
        if may_lack_marks or self._corrects_all:
            return Encoded(encoded.ids, lambda: (self._corrected(text, encoded.offsets), encoded.word_starts))
        return encoded

    def ids(self, text: str) -> tuple[int, ...]:
        """Return only the ids of the tokens. This is faster than `encode`."""
        if not any(char in text for char in self._first_chars):
            found = self._kernel.ids(self._model, text.encode())
            if found is not None:
                return tuple(found)
        return self.encode(text).ids

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """Return the piece of each id. Raises ValueError for an id outside the vocabulary."""
        ids = list(ids)
        if any(not 0 <= i < self.vocab_size for i in ids):
            raise ValueError(f"got an id that is not below {self.vocab_size}, the size of the vocabulary")
        ends = self._piece_ends
        return [str(self._piece_bytes[ends[i - 1] if i else 0 : ends[i]], "utf-8") for i in ids]

    def join(self, pieces: Sequence[str]) -> str:
        """Return the text of consecutive pieces."""
        first = self._first_mark
        return "".join(piece.replace(WORD_MARK, " " if i else first) for i, piece in enumerate(pieces))

    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        """Return the text of consecutive ids, without special tokens if `skip_special`. Raises as `pieces`."""
        pieces = self.pieces(ids)
        if skip_special:
            pieces = [piece for piece, i in zip(pieces, ids, strict=True) if i not in self._special]
        return self.join(pieces)

    def id_of(self, piece: str) -> int | None:
        """Return the id of a piece, or None when the vocabulary has no such piece."""
        if (added := self._added.get(piece)) is not None:
            return added
        found = self._kernel.find(self._model, piece.encode())
        return found[0] if found is not None else None

    def _encode_stretches(self, text: str) -> Encoded:
        """Encode a text that contains added tokens: each of them, and each stretch of text between them."""
        ids: list[int] = []
        spans: list[Span] = []
        word_starts: list[bool] = []
        may_lack_marks = self._corrects_all
        for start, end, added in self._stretches(text):
            if added is not None:
                ids.append(added)
                spans += trim(text, [(start, end)], self._white)
                word_starts.append(True)
                continue
            found = self._kernel.encode(self._model, text[start:end].encode(), start)
            if found is None:
                return self._library.encode(text)
            ids += found[0].ids
            spans += found[0].offsets
            word_starts += found[0].word_starts
            may_lack_marks |= found[1]
        offsets = self._corrected(text, spans) if may_lack_marks else tuple(spans)
        return Encoded.of(tuple(ids), offsets, tuple(word_starts))

    def _stretches(self, text: str) -> Iterator[tuple[int, int, int | None]]:
        """Yield start and end of each added token with its id, and of each stretch of text between them with None.

        A token with `lstrip` or `rstrip` includes the spaces beside it that belong to no other token. No stretch is
        empty.
        """
        end_of_last = 0
        for match in self._added_pattern.finditer(text):
            start, end = match.span()
            strips_left, strips_right = self._strips[match[0]]
            while strips_left and start > end_of_last and text[start - 1] in SPACES:
                start -= 1
            while strips_right and end < len(text) and text[end] in SPACES:
                end += 1
            if start > end_of_last:
                yield end_of_last, start, None
            yield start, end, self._added[match[0]]
            end_of_last = end
        if end_of_last < len(text):
            yield end_of_last, len(text), None

    def _corrected(self, text: str, spans: Sequence[Span]) -> tuple[Span, ...]:
        """Return spans with the code points that compose, without white space that was merged into them."""
        return tuple(trim(text, include_composing_marks(text, spans), self._white))

    @cached_property
    def _library(self) -> LibraryFallback:
        from functions.tokenizers.memory_mapped.library_fallback import LibraryFallback  # noqa: PLC0415 - rarely needed

        return LibraryFallback(self._file, self._kernel, self._model, self.pieces)


def _model(mapped: MemoryMappedTokenizer) -> Model:
    file = mapped._file  # noqa: SLF001 - called by its constructor
    facts, parts = file.facts, file.parts
    names = ("units", "classes", "map", "replacements")
    sizes = (len(parts["units"]) // UNIT_BYTES, len(parts["map"]) // 4, len(parts["replacements"]))
    return Model(*map(file.address, names), *sizes, facts["unk_score"], facts["unk_id"], facts["rules"])


def _pattern(contents: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern for added tokens. Of several at one place it matches the longest."""
    return re.compile("|".join(map(re.escape, sorted(contents, key=len, reverse=True))) or "(?!)")
