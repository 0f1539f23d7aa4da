"""The interface of every tokenizer: ids with offsets, pieces, and text from ids.

Must not know how a text is split, nor models, windows or tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from functions.tokenizers.offsets import Span

WORD_START = "\u2581"  # the sign with which pieces of XLM-RoBERTa's vocabularies begin a word


Places = tuple[tuple[Span, ...], tuple[bool, ...]]  # offsets and word starts


@dataclass(frozen=True, eq=False)
class Encoded:
    """The tokens of one text, without special tokens. Each of the three tuples has one entry for each token.

    `read_places` makes `offsets` and `word_starts`. It is called once, and only where they are read, because it takes
    longer than the ids.
    """

    ids: tuple[int, ...]
    read_places: Callable[[], Places] = field(repr=False)

    @classmethod
    def of(cls, ids: tuple[int, ...], offsets: tuple[Span, ...], word_starts: tuple[bool, ...]) -> Encoded:
        """Make it of tuples that are known."""
        return cls(ids, lambda: (offsets, word_starts))

    @cached_property
    def _places(self) -> Places:
        return self.read_places()

    @property
    def offsets(self) -> tuple[Span, ...]:
        """Half-open spans in Unicode code points of the text."""
        return self._places[0]

    @property
    def word_starts(self) -> tuple[bool, ...]:
        """Whether each token begins a word.

        A word is a run of text between spaces, or an added token. For XLM it is a word or a punctuation mark, as Moses
        or a segmenter split them.
        """
        return self._places[1]

    def __eq__(self, other: object) -> bool:
        """Compare all three."""
        if not isinstance(other, Encoded):
            return NotImplemented
        return (self.ids, *self._places) == (other.ids, *other._places)

    def __hash__(self) -> int:
        """Hash of the ids."""
        return hash(self.ids)


@dataclass(frozen=True, slots=True)
class Layout:
    """The special ids around one text, `first A last`, and around a pair, `first A middle B last`.

    `pair_type` is the token type of B and of the special ids after it; all other tokens have type 0. `cls_id` is the
    token whose score means that a question has no answer; None means the first id of `first`. An answer never begins
    or ends at one of `never_answer_ids`.
    """

    first: tuple[int, ...]
    middle: tuple[int, ...]
    last: tuple[int, ...]
    pair_type: int = 0
    cls_id: int | None = None
    never_answer_ids: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class TargetIds:
    """The ids by which a target of a mask is scored: where the mask begins a word, and where it goes on with one."""

    of_word: int
    of_rest: int


class Tokenizer(Protocol):
    """A loaded tokenizer artifact.

    `fingerprint` is the sha256 of the artifact's bytes; the model server expects the same. `vocab_size` is one more
    than the greatest id. `unk_id` is the id of unknown pieces. `mask_token` is the piece of a masked word. Both are
    None when the vocabulary has no such piece.
    """

    fingerprint: str
    vocab_size: int
    unk_id: int | None
    mask_token: str | None
    layout: Layout

    def encode(self, text: str, lang: str | None = None) -> Encoded:
        """Return the tokens of the text. Special tokens are not added.

        XLM has rules for each language, and `lang` names it; None means English. Other tokenizers ignore `lang`. Raises
        Unprocessable when the segmenter of `lang` is not installed.
        """
        ...

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """Return the piece of each id. Raises ValueError for an id outside the vocabulary."""
        ...

    def join(self, pieces: Sequence[str]) -> str:
        """Return the text of consecutive pieces."""
        ...

    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        """Return the text of consecutive ids, without special tokens if `skip_special`. Raises as `pieces`."""
        ...

    def id_of(self, piece: str) -> int | None:
        """Return the id of a piece, or None when the vocabulary has no such piece."""
        ...


def target_ids(tokenizer: Tokenizer, target: str) -> TargetIds | None:
    """Return the ids of a target. Returns None when it reads as nothing.

    A plain word is one piece as a word, or else the piece of that very name, or else its first piece. Where the mask
    goes on with a word, the piece of that name comes first. A target that begins with the sign of a word is the piece
    of that name everywhere.
    """
    pieces = tokenizer.encode(target).ids
    word = pieces[0] if len(pieces) == 1 and pieces[0] != tokenizer.unk_id else None
    named = tokenizer.id_of(target)
    if named is not None and (word is None or target.startswith(WORD_START)):
        return TargetIds(named, named)
    first = pieces[0] if pieces else None
    of_word = first if word is None else word
    return None if of_word is None else TargetIds(of_word, of_word if named is None else named)
