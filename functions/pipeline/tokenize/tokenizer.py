"""A tokenizer artifact and what the desks need of it: ids with offsets, pieces, and text back.

The rules are those of the artifact's `tokenizer.json`, run by the `tokenizers` library, which is
also what the reference runs. Must not know models, windows or tasks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import tokenizers

from functions.pipeline.tokenize.offsets import LeadingControls, Span, laid_back, whole_characters
from shared.catalog import Catalog


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids without special tokens; `offsets` half-open in Unicode code points of the text."""

    ids: tuple[int, ...]
    offsets: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """The special ids around one text, `first A last`, and around a pair, `first A middle B last`."""

    first: tuple[int, ...]
    middle: tuple[int, ...]
    last: tuple[int, ...]

    def n_special(self, *, pair: bool) -> int:
        """Return how many ids of a window are special."""
        return len(self.first) + len(self.last) + (len(self.middle) if pair else 0)


class Tokenizer:
    """One artifact, loaded. `fingerprint` is the sha256 of its bytes; both sides must hold the same."""

    def __init__(self, artifact: bytes) -> None:
        """Read the bytes of a `tokenizer.json`. Raises ValueError when they are not one."""
        try:
            self._backend = tokenizers.Tokenizer.from_buffer(artifact)
        except Exception as error:  # noqa: BLE001  # the library raises nothing narrower
            raise ValueError(f"the tokenizer artifact cannot be read: {error}") from None
        self._backend.no_truncation()
        self._backend.no_padding()
        self.fingerprint = sha256(artifact).hexdigest()
        self.vocab_size: int = self._backend.get_vocab_size(with_added_tokens=True)
        self.unk_id = self.id_of("<unk>")
        self.layout = self._read_layout()
        self._leading = LeadingControls(self._normalize, self._added_tokens())

    def encode(self, text: str) -> Encoded:
        """Return the ids of the whole text and where each stands; special tokens are not added."""
        audible, places = self._leading.drop(text)
        encoding = self._backend.encode(audible, add_special_tokens=False)
        offsets = encoding.offsets if places is None else laid_back(encoding.offsets, places)
        return Encoded(tuple(encoding.ids), tuple(whole_characters(text, offsets)))

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """Return the vocabulary's piece of each id. Raises ValueError for an id past the vocabulary."""
        found = [self._backend.id_to_token(i) for i in ids]
        if None in found:
            raise ValueError(f"got an id that is not below {self.vocab_size}, the size of the vocabulary")
        return [piece for piece in found if piece is not None]

    def join(self, pieces: Sequence[str]) -> str:
        """Return the text that a run of pieces reads as."""
        decoder = self._backend.decoder
        return decoder.decode(list(pieces)) if decoder is not None else " ".join(pieces)

    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        """Return the text that a run of ids reads as, with or without special tokens."""
        return self._backend.decode(list(ids), skip_special_tokens=skip_special)

    def id_of(self, piece: str) -> int | None:
        """Return the id of a piece, None when the vocabulary has no such piece."""
        return self._backend.token_to_id(piece)

    def _normalize(self, text: str) -> str:
        normalizer = self._backend.normalizer
        return text if normalizer is None else str(normalizer.normalize_str(text))

    def _added_tokens(self) -> list[str]:
        return [token.content for token in self._backend.get_added_tokens_decoder().values()]

    def _read_layout(self) -> Layout:
        encoding = self._backend.encode("a", "a")
        ids, special = encoding.ids, encoding.special_tokens_mask
        first_a, last_a = special.index(0), len(special) - 1 - special[::-1].index(0)
        inside = [i for i in range(first_a, last_a) if special[i]]
        middle = tuple(ids[i] for i in inside)
        return Layout(tuple(ids[:first_a]), middle, tuple(ids[last_a + 1 :]))


def load_tokenizer(path: Path, sha256_hex: str | None = None) -> Tokenizer:
    """Load one artifact. Raises ValueError when it is broken or its sha256 is not the one given, OSError."""
    tokenizer = Tokenizer(path.read_bytes())
    if sha256_hex is not None and tokenizer.fingerprint != sha256_hex:
        raise ValueError(f"{path.name}: got sha256 {tokenizer.fingerprint}, the catalog expects {sha256_hex}")
    return tokenizer


def load_tokenizers(catalog: Catalog, artifacts: Path) -> dict[str, Tokenizer]:
    """Load `{artifacts}/{model}/tokenizer.json` of every model. Raises as `load_tokenizer`."""
    return {
        name: load_tokenizer(artifacts / name / "tokenizer.json", model.tokenizer_sha256)
        for name, model in catalog.models.items()
    }
