"""What the desks need of a tokenizer: ids with offsets, pieces, and text back.

Must not know how a text is cut, nor models, windows or tasks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from functions.tokenizers.offsets import Span


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids without special tokens; `offsets` half-open in Unicode code points of the text.

    `word_starts[i]` says whether token i begins a word: a run between spaces, for XLM a word or mark as Moses or a
    segmenter cut it, or an added token.
    """

    ids: tuple[int, ...]
    offsets: tuple[Span, ...]
    word_starts: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """The special ids around one text, `first A last`, and around a pair, `first A middle B last`.

    `pair_type` is the token type of B and the special ids after it; all else has type 0. `classifying` is the id that
    stands for a question without an answer; None: the first of `first`. At ids of `unanswering` no answer begins or
    ends.
    """

    first: tuple[int, ...]
    middle: tuple[int, ...]
    last: tuple[int, ...]
    pair_type: int = 0
    classifying: int | None = None
    unanswering: frozenset[int] = frozenset()


class Tokenizer(Protocol):
    """One artifact, loaded. `fingerprint` is the sha256 of its bytes; both sides must hold the same.

    `vocab_size` is one more than the greatest id. `mask_token` is the piece that stands for a missing word.
    """

    fingerprint: str
    vocab_size: int
    unk_id: int | None
    mask_token: str | None
    layout: Layout

    def encode(self, text: str, lang: str | None = None) -> Encoded:
        """Return the ids of the whole text and where each stands; special tokens are not added.

        `lang` names the language for tokenizers with rules by language (XLM; None: English); others read all
        languages alike and pass it over. Raises Unprocessable where the rules of `lang` are not installed.
        """
        ...

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """Return the vocabulary's piece of each id. Raises ValueError for an id outside of the vocabulary."""
        ...

    def join(self, pieces: Sequence[str]) -> str:
        """Return the text that a run of pieces reads as."""
        ...

    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        """Return the text that a run of ids reads as, with or without special tokens. Raises as `pieces`."""
        ...

    def id_of(self, piece: str) -> int | None:
        """Return the id of a piece, None when the vocabulary has no such piece."""
        ...
