"""The tokenizer of XLM-RoBERTa, XLM-RoBERTa-XL and XLM-V. Its artifact is a `tokenizer.json`.

The `tokenizers` library applies the rules, as it does for the reference in transformers. Must not know models, windows
or tasks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any

import tokenizers
from tokenizers import models

from functions.tokenizers.offsets import LeadingControls, include_composing_marks, restore_offsets, trim, white_space
from functions.tokenizers.tokenizer import Encoded, Layout

MASK = "<mask>"


class JsonTokenizer:
    """A Tokenizer that reads a `tokenizer.json` by the `tokenizers` library. Its rules ignore `lang`.

    The model in it is Unigram for every model family that we serve. Other kinds of models are read too.
    """

    def __init__(self, artifact: bytes) -> None:
        """Read the bytes of a `tokenizer.json`. Raises ValueError when they are none."""
        try:
            self._backend = tokenizers.Tokenizer.from_buffer(artifact)
        except Exception as error:  # noqa: BLE001  # the library raises nothing narrower
            raise ValueError(f"the tokenizer artifact cannot be read: {error}") from None
        if isinstance(self._backend.model, models.Unigram):
            self._backend.model = _exact(json.loads(artifact)["model"])
        self._backend.no_truncation()
        self._backend.no_padding()
        self.fingerprint = sha256(artifact).hexdigest()
        added = self._backend.get_added_tokens_decoder()
        self.vocab_size: int = max(self._backend.get_vocab_size(with_added_tokens=False), *(i + 1 for i in added), 0)
        self.unk_id = self.id_of("<unk>")
        self.mask_token = MASK if self.id_of(MASK) is not None else None
        self.layout = self._read_layout()
        self._leading = LeadingControls(self._normalize, self._added_tokens())
        self.white = white_space(self._normalize)

    @property
    def backend(self) -> tokenizers.Tokenizer:
        """The library's tokenizer."""
        return self._backend

    def encode(self, text: str, lang: str | None = None) -> Encoded:  # noqa: ARG002 - the same rules for all languages
        """Return the tokens of the text. Special tokens are not added."""
        return read(self._backend, self._leading, self.white, text)

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """Return the piece of each id. Raises ValueError for an id outside the vocabulary."""
        ids = list(ids)
        if any(not 0 <= i < self.vocab_size for i in ids):
            raise ValueError(f"got an id that is not below {self.vocab_size}, the size of the vocabulary")
        return [self._backend.id_to_token(i) or "" for i in ids]

    def join(self, pieces: Sequence[str]) -> str:
        """Return the text of consecutive pieces."""
        decoder = self._backend.decoder
        return decoder.decode(list(pieces)) if decoder is not None else " ".join(pieces)

    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        """Return the text of consecutive ids, without special tokens if `skip_special`. Raises as `pieces`."""
        self.pieces(ids)
        return self._backend.decode(list(ids), skip_special_tokens=skip_special)

    def id_of(self, piece: str) -> int | None:
        """Return the id of a piece, or None when the vocabulary has no such piece."""
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
        return Layout(tuple(ids[:first_a]), middle, tuple(ids[last_a + 1 :]), encoding.type_ids[-1])


def read(backend: tokenizers.Tokenizer, leading: LeadingControls, white: frozenset[str], text: str) -> Encoded:
    """Return the tokens that the library finds in a text, with corrected offsets that end at no `white` character."""
    kept, places = leading.drop(text)
    encoding = backend.encode(kept, add_special_tokens=False)
    if places is not None and encoding.ids != (as_is := backend.encode(text, add_special_tokens=False)).ids:
        encoding, places = as_is, None  # a rule such as Strip comes before the one that deletes them
    offsets = encoding.offsets if places is None else restore_offsets(encoding.offsets, places)
    words = encoding.word_ids
    starts = tuple(a != b for a, b in zip(words, [None, *words], strict=False))
    return Encoded.of(tuple(encoding.ids), tuple(trim(text, include_composing_marks(text, offsets), white)), starts)


def _exact(model: Mapping[str, Any]) -> models.Unigram:
    """Return a unigram model with exactly the scores of the file.

    The library's JSON reader may round the last bit of a score. That matters when two ways to split a word have equal
    scores, because the first one wins. transformers reads the scores in Python, as is done here.
    """
    vocab = [(piece, score) for piece, score in model["vocab"]]
    return models.Unigram(vocab, unk_id=model.get("unk_id"), byte_fallback=bool(model.get("byte_fallback")))
