"""The tokenizer of XLM: added tokens, then the words of a language, then byte pair encoding.

Ids equal those of `XLMTokenizer` (transformers, tokenization_xlm.py) for every text and language. The reference has no
offsets; `alignment` makes them. Must not know models, windows or tasks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

from functions.tokenizers.offsets import Span
from functions.tokenizers.tokenizer import Encoded, Layout
from functions.tokenizers.xlm.added_tokens import AddedTokens
from functions.tokenizers.xlm.alignment import align, include_marks
from functions.tokenizers.xlm.artifact import parse_artifact
from functions.tokenizers.xlm.bpe import END_OF_WORD, Bpe
from functions.tokenizers.xlm.words import split_words

DEFAULT_LANG = "en"  # the default of the reference
SPACED_MARKS = (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're")


class XlmTokenizer:
    """A Tokenizer whose rules depend on the language of a text. None means English."""

    def __init__(self, artifact: bytes) -> None:
        """Read the bytes of an XLM artifact. Raises ValueError when they are none."""
        facts = parse_artifact(artifact)
        self.fingerprint = sha256(artifact).hexdigest()
        self._vocab = dict(facts.vocab)
        self._piece = {i: piece for piece, i in self._vocab.items()}
        self._unk = facts.unk
        self.unk_id: int | None = self._vocab[facts.unk]
        self._added = {token.content: token.id for token in facts.added}
        self._piece |= {token.id: token.content for token in facts.added}
        self.vocab_size = max(self._piece) + 1
        self.mask_token = facts.mask
        cls_id = facts.sep if facts.cls is None else facts.cls
        self._special = frozenset(facts.special)
        self.layout = Layout((facts.bos,), (facts.sep,), (facts.sep,), 1, cls_id, self._special)
        self._lowercase, self._tidy = facts.lowercase, facts.tidy
        self._added_tokens = AddedTokens(facts.added if facts.split_added else ())
        self._bpe = Bpe(facts.merges)

    def encode(self, text: str, lang: str | None = None, *, pre_split: bool = False) -> Encoded:
        """Return the tokens of the text. Special tokens are not added.

        With `pre_split` the text is split at spaces only, and no other rule for words is applied (`bypass_tokenizer` of
        the reference). Raises Unprocessable when the segmenter of `lang` is not installed.
        """
        ids: list[int] = []
        spans: list[Span] = []
        starts: list[bool] = []
        for chunk in self._added_tokens.split(text):
            if chunk.token:
                ids.append(self._added[chunk.text])
                spans.append((chunk.start, chunk.end))
                starts.append(True)
                continue
            words = self._words(chunk.text, lang, given=pre_split)
            word_pieces = [self._bpe.pieces(word) for word in words]
            ids += [self._id(piece) for pieces in word_pieces for piece in pieces]
            starts += [i == 0 for pieces in word_pieces for i in range(len(pieces))]
            source, removes_accents = text[chunk.start : chunk.end], self._lowercase and not pre_split
            spans += _spans(
                word_pieces, align(words, source, lowercase=removes_accents), source, chunk.start, marks=removes_accents
            )
        return Encoded.of(tuple(ids), tuple(spans), tuple(starts))

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """Return the piece of each id. Raises ValueError for an id outside the vocabulary."""
        ids = list(ids)
        if any(not 0 <= i < self.vocab_size for i in ids):
            raise ValueError(f"got an id that is not below {self.vocab_size}, the size of the vocabulary")
        return [self._piece.get(i, self._unk) for i in ids]

    def join(self, pieces: Sequence[str]) -> str:
        """Return the text of consecutive pieces."""
        return "".join(pieces).replace(END_OF_WORD, " ").strip()

    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        """Return the text of consecutive ids, without special tokens if `skip_special`. Raises as `pieces`."""
        kept = [i for i in ids if not (skip_special and i in self._special)]
        text = self.join(self.pieces(kept))
        for apart in SPACED_MARKS if self._tidy else ():
            text = text.replace(apart, apart.strip())
        return text

    def id_of(self, piece: str) -> int | None:
        """Return the id of a piece, or None when the vocabulary has no such piece."""
        return self._added.get(piece, self._vocab.get(piece))

    def _words(self, text: str, lang: str | None, *, given: bool) -> list[str]:
        if given:
            return text.split()
        return split_words(text, DEFAULT_LANG if lang is None else lang, lowercase=self._lowercase)

    def _id(self, piece: str) -> int:
        found = self.id_of(piece)
        return self._vocab[self._unk] if found is None else found


def _spans(
    word_pieces: Sequence[Sequence[str]], chars: Sequence[Span], text: str, shift: int, *, marks: bool
) -> list[Span]:
    """Return the span of each piece of a chunk's words, made from the spans of their characters in order.

    `shift` is the index of the chunk in the text. With `marks` a span includes the accents that were removed.
    """
    spans: list[Span] = []
    at = start = end = 0
    for pieces in word_pieces:
        for place, piece in enumerate(pieces, 1):
            n_chars = len(piece) - (len(END_OF_WORD) if place == len(pieces) else 0)
            if n_chars:
                start = max(start, chars[at][0])
                last = chars[at + n_chars - 1][1]
                end = max(end, include_marks(text, last) if marks else last)
                at += n_chars
            # a piece without characters gets the span of the piece before it
            spans.append((shift + start, shift + end))
    return spans
