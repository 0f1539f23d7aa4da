"""Chooses the pieces of the shipped tokenizer: the useful ones of e5's 250,002, and new ones for scripts e5 lacks.

A piece is worth the share of tokens that it covers, summed over languages with equal weight, plus its share in e5's own
training text. Single characters stay if a data set has them, or if they are not very rare, so that little text that e5
reads becomes unknown. Text in a script that e5 lacks gets pieces of a unigram model (Kudo 2018). e5's rules stay: its
character map, single spaces, Metaspace. The number of ids is bounded by the size of a file: the word embedding is one
tensor. Must not know tensors.
"""

from __future__ import annotations

import copy
import io
import json
import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
from numpy.typing import NDArray
from tokenizers import Tokenizer

N_SPECIAL = 4  # <s>, <pad>, </s>, <unk>
BLANK = "\u2581"
PRIOR = 60.0  # e5's own text counts as much as so many languages
MIN_SCRIPT, MIN_CHARACTER = 2_000, 5  # occurrences: a script gets its own pieces from, a character its own piece
PIECES_PER_SCRIPT = 300
RARE = -15.0  # the log probability of a character that goes unless a data set has it
MOST = 32_700  # ids of 384 bf16 numbers: a file of 24 MiB
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Vocabulary:
    """The chosen pieces. `kept` are ids of e5 in ascending order, `added` new pieces with their log probabilities."""

    kept: tuple[int, ...]
    added: tuple[tuple[str, float], ...]

    def __len__(self) -> int:
        """Count all ids: special tokens, kept and added pieces, and the mask."""
        return N_SPECIAL + len(self.kept) + len(self.added) + 1


def count(tokenizer: Tokenizer, texts: list[str], n_pieces: int) -> Counts:
    """Count how often each id occurs in the texts."""
    found = np.zeros(n_pieces, np.int64)
    for at in range(0, len(texts), 2_000):
        ids = [e.ids for e in tokenizer.encode_batch_fast(texts[at : at + 2_000], add_special_tokens=False)]
        found += np.bincount(np.concatenate([np.array(row, np.int64) for row in ids]), minlength=n_pieces)
    return found


def choose(source: Mapping[str, Any], counts: Sequence[Counts], n_pieces: int) -> tuple[int, ...]:
    """Return the e5 ids to keep. `counts` has one row for each language, `n_pieces` bounds the ids.

    Raises ValueError when the single characters alone are more.
    """
    pieces = source["model"]["vocab"]
    last = len(pieces) - 1  # <mask>
    worth = PRIOR * np.array([math.exp(score) for _, score in pieces])
    for row in counts:
        worth += row / max(1, row.sum())
    seen = np.sum([row > 0 for row in counts], axis=0)
    single = [n for n in range(N_SPECIAL, last) if len(pieces[n][0]) == 1 and (seen[n] or pieces[n][1] > RARE)]
    if len(single) > n_pieces:
        raise ValueError(f"got {n_pieces} pieces, expected at least the {len(single)} single characters that stay")
    worth[single] = np.inf
    worth[[*range(N_SPECIAL), last]] = -np.inf
    return tuple(sorted(np.argsort(-worth, kind="stable")[:n_pieces].tolist()))


def missing(tokenizer: Tokenizer, pieces: Iterable[str], texts: Iterable[str]) -> Counter[str]:
    """Count the characters of the texts that no piece has, after normalization."""
    known = {character for piece in pieces for character in piece} | {" "}
    seen: Counter[str] = Counter()
    for text in texts:
        seen.update(tokenizer.normalizer.normalize_str(text))
    return Counter({character: n for character, n in seen.items() if character not in known})


def script(character: str) -> str:
    """Return the first word of the Unicode name of a character, which is that of its script."""
    return unicodedata.name(character, "?").split()[0]


def added(
    tokenizer: Tokenizer, pieces: set[str], texts: list[str], *, min_script: int = MIN_SCRIPT
) -> tuple[tuple[str, float], ...]:
    """Return new pieces with their log probabilities for what e5 cannot spell, most probable first."""
    lost = missing(tokenizer, pieces, texts)
    totals: Counter[str] = Counter()
    for character, n in lost.items():
        totals[script(character)] += n
    found: dict[str, float] = {}
    for name in sorted(name for name, n in totals.items() if n >= min_script):
        own = frozenset(character for character in lost if script(character) == name)
        found |= fit([text for text in texts if not own.isdisjoint(text)], own)
    floor = min([*found.values(), -12.0])
    for character, n in sorted(lost.items(), key=lambda pair: (-pair[1], pair[0])):
        if n >= MIN_CHARACTER and character not in found:
            found[character] = floor
    return tuple(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))


def fit(texts: list[str], own: frozenset[str]) -> dict[str, float]:
    """Train a small unigram model. Return its pieces that have a character of `own`."""
    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=made, vocab_size=PIECES_PER_SCRIPT, model_type="unigram",
        character_coverage=1.0, normalization_rule_name="identity", hard_vocab_limit=False, num_threads=1,
        minloglevel=2,
    )  # fmt: skip
    model = sentencepiece.SentencePieceProcessor(model_proto=made.getvalue())
    pieces = {model.id_to_piece(n): model.get_score(n) for n in range(model.get_piece_size())}
    return {piece: score for piece, score in pieces.items() if not own.isdisjoint(piece)}


def tokenizer_json(source: Mapping[str, Any], vocabulary: Vocabulary) -> dict[str, Any]:
    """Return the tokenizer file: the layout of XLM-R, with `<mask>` last, and e5's rules."""
    made = copy.deepcopy(dict(source))
    pieces = source["model"]["vocab"]
    mask = len(vocabulary) - 1
    chosen = [pieces[n] for n in (*range(N_SPECIAL), *vocabulary.kept)]
    made["model"] = {**source["model"], "vocab": [*chosen, *map(list, vocabulary.added), ["<mask>", 0.0]]}
    for token in made["added_tokens"]:
        if token["content"] == "<mask>":
            token["id"] = mask
            token["lstrip"] = True  # as in XLM-R: the mask takes the space before it
    return made


def write(folder: Path, made: Mapping[str, Any], max_tokens: int = 512) -> None:
    """Write `tokenizer.json` and the two files that transformers reads beside it."""
    tokens = {
        "bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "unk_token": "<unk>",
        "pad_token": "<pad>", "mask_token": "<mask>",
    }  # fmt: skip
    settings = {**tokens, "model_max_length": max_tokens, "tokenizer_class": "PreTrainedTokenizerFast"}
    for name, value in (("tokenizer.json", made), ("tokenizer_config.json", settings)):
        text = json.dumps(value, ensure_ascii=False, indent=None if name == "tokenizer.json" else 2)
        (folder / name).write_text(text + "\n", encoding="utf-8")
