"""The tokenizer of XLM-RoBERTa, -XL and XLM-V over a prebuilt file: the kernel reads text, the library what it leaves.

Ids and spans are those of `JsonTokenizer` on every text. A span comes from the normalization map: the kernel keeps, of
each normalized byte, the code point it stands for (as `NormalizedString` of the `tokenizers` crate aligns it), and a
token reaches from that of its first byte to that of its last. Must not know models, windows or tasks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from functions.tokenizers.memory_mapped.file_format import map_file
from functions.tokenizers.memory_mapped.kernel import UNIT_BYTES, Kernel, Model
from functions.tokenizers.offsets import Span, whole_characters
from functions.tokenizers.tokenizer import Encoded, Layout

if TYPE_CHECKING:
    from functions.tokenizers.memory_mapped.library_fallback import Library

WORD_MARK = "\u2581"
SPACES = frozenset(  # White_Space of Unicode, as in Rust
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)


class MappedTokenizer:
    """A Tokenizer that reads all languages alike: `lang` changes nothing."""

    def __init__(self, path: Path, kernel: Kernel) -> None:
        """Map a prebuilt file. Raises ValueError when it is not one, OSError."""
        self._mapped = map_file(path)
        facts = self._mapped.facts
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
        self._cuts = _pattern(self._added)
        self._opening = tuple({content[0] for content in self._added})
        parts = self._mapped.parts
        self._piece_bytes, self._piece_ends = parts["pieces"], parts["piece_ends"].cast("I")

    def encode(self, text: str, lang: str | None = None) -> Encoded:  # noqa: ARG002 - one set of rules for all
        """Return the ids of the whole text and where each stands; special tokens are not added."""
        for char in self._opening:
            if char in text and self._cuts.search(text):
                return self._encode_cut(text)
        found = self._kernel.encode(self._model, text.encode())
        if found is None:
            return self._library.encode(text)
        encoded, some_merged = found
        if some_merged:
            return replace(encoded, offsets=tuple(whole_characters(text, encoded.offsets)))
        return encoded

    def ids(self, text: str) -> tuple[int, ...]:
        """Return the ids alone."""
        if not any(char in text for char in self._opening):
            found = self._kernel.ids(self._model, text.encode())
            if found is not None:
                return tuple(found)
        return self.encode(text).ids

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """Return the vocabulary's piece of each id. Raises ValueError for an id outside of the vocabulary."""
        ids = list(ids)
        if any(not 0 <= i < self.vocab_size for i in ids):
            raise ValueError(f"got an id that is not below {self.vocab_size}, the size of the vocabulary")
        ends = self._piece_ends
        return [str(self._piece_bytes[ends[i - 1] if i else 0 : ends[i]], "utf-8") for i in ids]

    def join(self, pieces: Sequence[str]) -> str:
        """Return the text that a run of pieces reads as."""
        return "".join(piece.replace(WORD_MARK, " " if i else "") for i, piece in enumerate(pieces))

    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        """Return the text that a run of ids reads as, with or without special tokens. Raises as `pieces`."""
        pieces = self.pieces(ids)
        if skip_special:
            pieces = [piece for piece, i in zip(pieces, ids, strict=True) if i not in self._special]
        return self.join(pieces)

    def id_of(self, piece: str) -> int | None:
        """Return the id of a piece, None when the vocabulary has no such piece."""
        if (added := self._added.get(piece)) is not None:
            return added
        found = self._kernel.find(self._model, piece.encode())
        return found[0] if found is not None else None

    def _encode_cut(self, text: str) -> Encoded:
        """Encode a text with added tokens in it, stretch by stretch."""
        ids: list[int] = []
        spans: list[Span] = []
        word_starts: list[bool] = []
        some_merged = False
        for start, end, added in self._stretches(text):
            if added is not None:
                ids.append(added)
                spans.append((start, end))
                word_starts.append(True)
                continue
            found = self._kernel.encode(self._model, text[start:end].encode(), start)
            if found is None:
                return self._library.encode(text)
            ids += found[0].ids
            spans += found[0].offsets
            word_starts += found[0].word_starts
            some_merged |= found[1]
        return Encoded(tuple(ids), tuple(whole_characters(text, spans) if some_merged else spans), tuple(word_starts))

    def _stretches(self, text: str) -> Iterator[tuple[int, int, int | None]]:
        """Yield where each added token stands and its id, and what lies between with None; nothing empty.

        A token may take in the spaces at its left or right, as far as they are not another's.
        """
        after = 0
        for match in self._cuts.finditer(text):
            start, end = match.span()
            takes_left, takes_right = self._strips[match[0]]
            while takes_left and start > after and text[start - 1] in SPACES:
                start -= 1
            while takes_right and end < len(text) and text[end] in SPACES:
                end += 1
            if start > after:
                yield after, start, None
            yield start, end, self._added[match[0]]
            after = end
        if after < len(text):
            yield after, len(text), None

    @cached_property
    def _library(self) -> Library:
        from functions.tokenizers.memory_mapped.library_fallback import Library  # noqa: PLC0415 - few texts need it

        return Library(self._mapped, self._kernel, self._model, self.pieces)


def _model(mapped: MappedTokenizer) -> Model:
    file = mapped._mapped  # noqa: SLF001 - its maker
    facts, parts = file.facts, file.parts
    names = ("units", "classes", "map", "replacements")
    sizes = (len(parts["units"]) // UNIT_BYTES, len(parts["map"]) // 4, len(parts["replacements"]))
    return Model(*map(file.address, names), *sizes, facts["unk_score"], facts["unk_id"])


def _pattern(contents: Iterable[str]) -> re.Pattern[str]:
    """Return what finds added tokens: the leftmost, and the longest of those."""
    return re.compile("|".join(map(re.escape, sorted(contents, key=len, reverse=True))) or "(?!)")
