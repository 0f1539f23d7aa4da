"""Turns data sets into token ids with labels, one set for each training task. Must not know batches or the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from checkpoints.mini.finetuning.data import cloze, corpus, data_sets
from checkpoints.mini.finetuning.data.data_sets import Question, Split

Ids = NDArray[np.int64]
END, IGNORED = 2, -100
LONG, SHORT = 192, 128  # tokens in training: of a question with the context around its answer, of any other text


@dataclass(frozen=True)
class Examples:
    """The texts of one task. A unit is a tuple of text numbers that stay together in a batch."""

    ids: Sequence[Ids]  # with special tokens
    labels: Mapping[str, NDArray[np.int64] | NDArray[np.float32]] = field(default_factory=dict)  # one for each text
    token_labels: Mapping[str, Sequence[Ids]] = field(default_factory=dict)
    n_together: int = 1

    @property
    def n_units(self) -> int:
        """Count the units."""
        return len(self.ids) // self.n_together


class Encoder:
    """Makes ids with the shipped tokenizer."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def __call__(self, texts: Sequence[str] | Sequence[tuple[str, str]], most: int = SHORT) -> list[Ids]:
        """Return the ids of texts or pairs, cut to `most` tokens with their last `</s>`."""
        return [cut(np.array(e.ids, np.int64), most) for e in self.tokenizer.encode_batch(list(texts))]


def cut(ids: Ids, most: int) -> Ids:
    """Return at most `most` ids that end with `</s>`."""
    return ids if len(ids) <= most else np.append(ids[: most - 1], END)


def tags(tagged: corpus.Tagged, offsets: Sequence[tuple[int, int]]) -> Ids:
    """Return the tag number of every token: B- for the first token of an entity, I- for its others."""
    found = np.zeros(len(offsets), np.int64)
    for start, end, kind in tagged.spans:
        inside = [n for n, (a, b) in enumerate(offsets) if a < end and b > start and b > a]
        for nth, n in enumerate(inside):
            found[n] = corpus.TAGS.index(f"{'I' if nth else 'B'}-{kind}")
    return found


def pairs(encode: Encoder, rows: Sequence[data_sets.Pair]) -> Examples:
    """Return NLI: one text for each pair."""
    labels = np.array([row.label for row in rows], np.int64)
    return Examples(encode([(row.first, row.second) for row in rows]), {"label": labels})


def similarities(encode: Encoder, rows: Sequence[data_sets.Pair]) -> Examples:
    """Return graded pairs: two texts for each, the score at both."""
    ids = encode([text for row in rows for text in (row.first, row.second)])
    return Examples(ids, {"score": np.repeat(np.array([row.label for row in rows], np.float32), 2)}, n_together=2)


def choices(encode: Encoder, rows: Sequence[data_sets.Choice]) -> Examples:
    """Return multiple choice: one text for each answer, all with as many answers as the first row."""
    n_choices = len(rows[0].choices)
    ids = encode([(row.question, choice) for row in rows for choice in row.choices])
    return Examples(ids, {"label": np.repeat(np.array([row.label for row in rows]), n_choices)}, n_together=n_choices)


def topics(encode: Encoder, rows: Sequence[corpus.Sentence], languages: Sequence[str]) -> Examples:
    """Return SIB-200 with topic, language and the place of the English original among the sorted indices."""
    place = {index: n for n, index in enumerate(sorted({row.index for row in rows}))}
    number = {code: n for n, code in enumerate(languages)}
    labels = {
        "topic": np.array([row.topic for row in rows]),
        "language": np.array([number[row.lang] for row in rows]),
        "target": np.array([place[row.index] for row in rows]),
    }
    return Examples(encode([row.text for row in rows]), labels)


def opinions(encode: Encoder, rows: Sequence[corpus.Opinion]) -> Examples:
    """Return sentiment."""
    return Examples(encode([row.text for row in rows]), {"label": np.array([row.label for row in rows])})


def entities(encode: Encoder, rows: Sequence[corpus.Tagged]) -> Examples:
    """Return named entities: one tag for each token, none for special tokens."""
    ids, labels = [], []
    for row, coded in zip(rows, encode.tokenizer.encode_batch([row.text for row in rows]), strict=True):
        found = tags(row, coded.offsets).astype(np.int64)
        found[np.array(coded.special_tokens_mask, bool)] = IGNORED
        ids.append(cut(np.array(coded.ids, np.int64), SHORT))
        labels.append(found[: len(ids[-1])])
    return Examples(ids, {}, {"tag": labels})


def aligned(encode: Encoder, rows: Sequence[tuple[str, str]]) -> tuple[Examples, list[str]]:
    """Return texts with the places of their English originals, and the originals."""
    originals = list(dict.fromkeys(english for _, english in rows))
    place = {text: n for n, text in enumerate(originals)}
    target = np.array([place[english] for _, english in rows])
    return Examples(encode([text for text, _ in rows]), {"target": target}), originals


def answers(encode: Encoder, rows: Sequence[Question], seed: int = 0) -> Examples:
    """Return question answering: token numbers of the first and last token. Long contexts are cut around the answer."""
    random = np.random.default_rng(seed)
    ids, starts, ends = [], [], []
    coded = encode.tokenizer.encode_batch([(row.question, row.context) for row in rows])
    for row, one in zip(rows, coded, strict=True):
        inside = [
            n for n, (a, b) in enumerate(one.offsets)
            if one.sequence_ids[n] == 1 and a < row.end and b > row.start and b > a
        ]  # fmt: skip
        if not inside:
            continue
        first = one.sequence_ids.index(1)
        room = LONG - first - 1
        shift = 0
        if len(one.ids) > LONG:
            earliest = max(first, inside[-1] + 1 - room)
            latest = min(inside[0], len(one.ids) - 1 - room)
            shift = int(random.integers(min(earliest, latest), max(earliest, latest) + 1)) - first
        whole = np.array(one.ids, np.int64)
        window = np.concatenate([whole[:first], whole[first + shift :]])
        if inside[-1] - shift < LONG - 1:
            ids.append(cut(window, LONG))
            starts.append(inside[0] - shift)
            ends.append(inside[-1] - shift)
    return Examples(ids, {"start": np.array(starts), "end": np.array(ends)})


def across(rows: Sequence[Question], seed: int, share: float = 0.5) -> list[Question]:
    """Return the questions, some asked in the language of another row with the same key."""
    random = np.random.default_rng(seed)
    same: dict[str, list[Question]] = {}
    for row in rows:
        same.setdefault(row.key, []).append(row)
    found = []
    for row in rows:
        other = same[row.key][int(random.integers(len(same[row.key])))] if random.random() < share else row
        found.append(Question(row.lang, row.key, other.question, row.context, row.start, row.end))
    return found


def training_sets(encode: Encoder, data: Path, languages: Sequence[str], *, choosing: bool) -> dict[str, Examples]:
    """Return every labelled set that is trained on; the aligned ones are made by `aligned`."""
    split: Split = "train"

    def some(rows: Sequence[data_sets.T]) -> list[data_sets.T]:
        return data_sets.part(rows, split, choosing=choosing)

    asked = data_sets.questions(data, split, choosing=choosing)
    gaps = cloze.questions(data_sets.documents(data), data_sets.contexts(data, choosing=choosing))
    sentences = data_sets.sib(data, split, choosing=choosing)
    plain = data_sets.plain_texts(data) + data_sets.contexts(data, choosing=choosing)
    return {
        "topics": topics(encode, sentences, languages),
        "sentiment": opinions(encode, some(corpus.opinions(data, "train"))),
        "entities": entities(encode, some(corpus.entities(data, "train", corpus.ENTITY_LANGUAGES))),
        "nli": pairs(encode, data_sets.relations(data, split, choosing=choosing)["id"]),
        "answers": answers(encode, [*across(asked, 1), *across(asked, 2, 0.9), *across(asked, 3, 0.9)]),
        "cloze": answers(encode, gaps),
        "choice": choices(encode, data_sets.choices(data, split, choosing=choosing)),
        "similarity": similarities(encode, data_sets.similarities(data, split, choosing=choosing)),
        "masked": Examples(encode([*(row.text for row in sentences), *plain])),
    }
