"""Turns the corpus into packed training batches; every text is augmented anew each time it is drawn.

A step mixes all tasks by a token budget. SIB-200 rows are drawn as a few sentences times a few languages (so that
translations meet in one batch) and cropped, thinned, joined with another sentence (mixed label) or with their own
translation (TLM). Subword sampling (Kudo 2018) is drawn once per text and copy at the start. Weak topic rows come from
`lexicon`. No padding: texts are packed first-fit.
"""

from dataclasses import dataclass, field

import numpy as np
import sentencepiece
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from recipe import corpus
from recipe.model import IGNORED, Batch

Ids = NDArray[np.int32]
START, PAD, END, MASK, FIRST = 0, 1, 2, 31_999, 4
FINISHING = 0.5
SHARES = {"sib": 0.66, "opinion": 0.10, "entity": 0.12, "passage": 0.07, "words": 0.05}


@dataclass
class Text:
    """One text of a batch before packing; ids carry no `<s>` or `</s>` yet unless `whole`."""

    ids: Ids
    topic: NDArray[np.float32] | None = None
    lang: int = IGNORED
    sentiment: int = IGNORED
    group: int = IGNORED
    tags: Ids | None = None
    whole: bool = False


@dataclass
class Pool:
    """All texts as ids, ready to draw from."""

    sib: dict[int, dict[int, list[Ids]]]  # sentence -> language -> segmentations, the first one the tokenizer's own
    topic: dict[int, int]
    opinions: list[Text]
    entities: list[Text]
    passages: list[Text]
    words: list[dict[str, list[Ids]]]
    words_by_topic: list[list[str]] = field(default_factory=list)


class Segmenter:
    """Ids by the shipped tokenizer, and by subword sampling on the SentencePiece model it came from."""

    def __init__(self, folder: str) -> None:
        self.exact = Tokenizer.from_file(f"{folder}/tokenizer.json")
        self.pieces = sentencepiece.SentencePieceProcessor(model_file=f"{folder}/sentencepiece.bpe.model")

    def __call__(self, texts: list[str]) -> list[Ids]:
        """Return the tokenizer's own ids without special tokens."""
        return [np.array(e.ids, np.int32) for e in self.exact.encode_batch_fast(texts, add_special_tokens=False)]

    def sampled(self, texts: list[str], alpha: float = 0.25) -> list[Ids]:
        """Return ids of one random segmentation per text."""
        drawn = self.pieces.encode(texts, out_type=int, enable_sampling=True, nbest_size=-1, alpha=alpha, num_threads=2)
        return [np.where((row := np.array(r, np.int32)) == 0, 3, row + 1) for r in drawn]


def tags(tagged: corpus.Tagged, offsets: list[tuple[int, int]]) -> Ids:
    """Tag number of every token: B- on the first token of an entity, I- on its others."""
    out = np.zeros(len(offsets), np.int32)
    for start, end, kind in tagged.spans:
        inside = [i for i, (a, b) in enumerate(offsets) if a < end and b > start and b > a]
        for nth, i in enumerate(inside):
            out[i] = corpus.TAGS.index(f"{'I' if nth else 'B'}-{kind}")
    return out


def one_hot(topic: int, weight: float = 1.0) -> NDArray[np.float32]:
    """Make a topic's label distribution; the rest of the weight is spread evenly."""
    row = np.full(len(corpus.TOPICS), (1 - weight) / len(corpus.TOPICS), np.float32)
    row[topic] += weight
    return row


class Batches:
    """An endless source of batches."""

    def __init__(self, pool: Pool, budget: int, seed: int, width: int = 160) -> None:
        """`plain` is the share of SIB-200 rows drawn as they are; the finishing phase raises it."""
        self.pool, self.budget, self.width = pool, budget, width
        self.plain = 0.25
        self.random = np.random.default_rng(seed)
        self.sentences = np.array(sorted(pool.sib))
        self.langs = np.array(sorted(next(iter(pool.sib.values()))))
        self.deck: dict[str, list[int]] = {}

    def next(self, *, long: bool = False) -> Batch:
        """Draw a mixed batch of about `budget` tokens; a long one has rows of 512 with joined passages."""
        texts: list[Text] = []
        for kind, share in SHARES.items():
            room = self.budget * share
            while room > 0:
                drawn = self.passage(long=long) if kind == "passage" else getattr(self, kind)()
                texts += drawn
                room -= sum(len(t.ids) + 2 for t in drawn)
        return self.pack(texts, 512 if long else self.width)

    def turn(self, name: str, count: int) -> int:
        """Deal the next index of a shuffled deck, so that each text is seen once per round."""
        deck = self.deck.setdefault(name, [])
        if not deck:
            deck.extend(self.random.permutation(count).tolist())
        return deck.pop()

    def sentence(self, index: int, lang: int) -> Ids:
        """Return one segmentation of a SIB-200 sentence, the tokenizer's own half of the time."""
        forms = self.pool.sib[index][lang]
        return forms[0 if self.random.random() < 0.5 else self.random.integers(len(forms))]

    def crop(self, ids: Ids, low: float) -> Ids:
        """Return a random contiguous part of at least `low` of the text."""
        size = max(min(6, len(ids)), int(len(ids) * self.random.uniform(low, 1)))
        at = self.random.integers(len(ids) - size + 1)
        return ids[at : at + size]

    def thin(self, ids: Ids, rate: float = 0.12) -> Ids:
        """Return the text with some tokens left out."""
        kept = ids[self.random.random(len(ids)) >= rate]
        return kept if len(kept) else ids

    def sib(self) -> list[Text]:
        """Draw a sentence in several languages, in one of the augmented forms each."""
        index = int(self.sentences[self.turn("sib", len(self.sentences))])
        return [self.variant(index, int(lang)) for lang in self.random.choice(self.langs, 3, replace=False)]

    def variant(self, index: int, lang: int) -> Text:
        """Make one augmented form of a sentence."""
        ids, topic = self.sentence(index, lang), self.pool.topic[index]
        label = one_hot(topic)
        if self.random.random() < self.plain:
            return Text(ids, label, lang, group=index)
        dice = self.random.uniform(0.25, 1)
        if dice < 0.50:
            low = 0.5 if self.random.random() < 0.7 else 0.15
            part = self.crop(ids, low)
            part = self.thin(part) if self.random.random() < 0.4 else part
            return Text(part, label if low > 0.2 else one_hot(topic, 0.7), lang, group=index)
        if dice < 0.85:
            other = self.sentence(index, int(self.random.choice(self.langs)))
            joined = [self.crop(ids, 0.6), np.array([END, END], np.int32), self.crop(other, 0.6)]
            return Text(np.concatenate(joined), label, group=index)
        other_index = int(self.random.choice(self.sentences))
        other, other_topic = self.sentence(other_index, lang), self.pool.topic[other_index]
        parts = [self.crop(ids, 0.3), self.crop(other, 0.3)]
        share = len(parts[0]) / (len(parts[0]) + len(parts[1]))
        return Text(np.concatenate(parts), share * label + (1 - share) * one_hot(other_topic), lang)

    def opinion(self) -> list[Text]:
        """Draw a sentiment row, thinned now and then."""
        text = self.pool.opinions[self.turn("opinion", len(self.pool.opinions))]
        ids = self.thin(text.ids) if self.random.random() < 0.5 else text.ids
        return [Text(ids[:126], lang=text.lang, sentiment=text.sentiment)]

    def entity(self) -> list[Text]:
        """Draw a tagged sentence."""
        text = self.pool.entities[self.turn("entity", len(self.pool.entities))]
        return [Text(text.ids[:126], lang=text.lang, tags=None if text.tags is None else text.tags[:126])]

    def passage(self, *, long: bool = False) -> list[Text]:
        """Draw plain text: a part of one passage, or following passages joined up to 510 tokens."""
        at = self.turn("passage", len(self.pool.passages))
        text, room = self.pool.passages[at], 510 if long else 126
        if long:
            following = [t.ids for t in self.pool.passages[at : at + 12] if t.lang == text.lang]
            return [Text(np.concatenate(following)[:room], lang=text.lang)]
        start = self.random.integers(max(1, len(text.ids) - room + 1))
        return [Text(text.ids[start : start + room], text.topic, text.lang)]

    def words(self) -> list[Text]:
        """Make a list of words in two languages of the lexicon, mostly of one topic (a weak label)."""
        topic = int(self.random.integers(len(corpus.TOPICS)))
        pair = [self.pool.words[i] for i in self.random.choice(len(self.pool.words), 2, replace=False)]
        common = [w for w in self.pool.words_by_topic[topic] if all(w in words for words in pair)]
        both = [w for w in pair[0] if w in pair[1]]
        topical, label = self.random.random() < 0.75 and len(common) >= 3, one_hot(topic, 0.85)
        several = min(len(common), int(self.random.integers(2, 6))) if topical else 0
        chosen = list(self.random.choice(common, several, replace=False)) if topical else []
        chosen += list(self.random.choice(both, 3 if topical else 8))
        self.random.shuffle(chosen)
        parts = [np.concatenate([words[w][self.random.integers(len(words[w]))] for w in chosen]) for words in pair]
        group = -1 - int(self.random.integers(1 << 30)) - 1000
        label_or_none = label if topical else None
        if self.random.random() < 0.5:
            joined = np.concatenate([parts[0], np.array([END, END], np.int32), parts[1]])
            return [Text(joined[:150], label_or_none)]
        return [Text(p[:100], label_or_none, group=group) for p in parts]

    def pack(self, texts: list[Text], width: int) -> Batch:
        """Mask each text and pack all of them first-fit, longest first, into rows of `width`."""
        texts = [t for t in texts if len(t.ids)]
        for text in texts:
            text.ids = text.ids[: width - 2]
        texts.sort(key=lambda t: -len(t.ids))
        rows: list[list[int]] = []
        free: list[int] = []
        for number, text in enumerate(texts):
            size = len(text.ids) + 2
            row = next((r for r, room in enumerate(free) if room >= size), None)
            if row is None:
                row = len(rows)
                rows.append([])
                free.append(width)
            rows[row].append(number)
            free[row] -= size
        return self.tensors(texts, rows, width)

    def tensors(self, texts: list[Text], rows: list[list[int]], width: int) -> Batch:
        """Lay the packed batch out as tensors."""
        shape = (len(rows), width)
        ids, positions = np.full(shape, PAD, np.int64), np.full(shape, 1, np.int64)
        segments, owner = np.zeros(shape, np.int64), np.full(shape, len(texts), np.int64)
        tag, masked, targets = np.full(shape, IGNORED, np.int64), [], []
        starts = np.zeros(len(texts), np.int64)
        for row, numbers in enumerate(rows):
            at = 0
            for nth, number in enumerate(numbers):
                text = texts[number]
                size = len(text.ids) + 2
                shown, where = self.mask(text)
                span = slice(at, at + size)
                ids[row, span] = np.concatenate([[START], shown, [END]])
                positions[row, span] = np.arange(2, size + 2)
                segments[row, span], owner[row, span] = nth + 1, number
                if text.tags is not None:
                    tag[row, at + 1 : at + 1 + len(text.tags)] = text.tags
                starts[number] = row * width + at
                masked.append(row * width + at + 1 + where)
                targets.append(text.ids[where])
                at += size
        grid = (ids, positions, segments, owner)
        return self.finish(texts, grid, tag, starts, np.concatenate(masked), np.concatenate(targets))

    def mask(self, text: Text) -> tuple[Ids, NDArray[np.int64]]:
        """Return ids with some tokens hidden (80 % `<mask>`, 10 % another token, 10 % kept), and where they are."""
        gentle = self.plain > FINISHING or text.tags is not None or text.sentiment != IGNORED
        rate = self.random.choice([0.0, 0.1, 0.2] if gentle else [0.1, 0.2, 0.35])
        where = np.flatnonzero((self.random.random(len(text.ids)) < rate) & (text.ids >= FIRST))
        shown, dice = text.ids.copy(), self.random.random(len(where))
        shown[where[dice < 0.8]] = MASK
        swapped = where[(dice >= 0.8) & (dice < 0.9)]
        shown[swapped] = self.random.integers(FIRST, MASK, len(swapped))
        return shown, where

    def finish(
        self, texts: list[Text], grid: tuple[NDArray[np.int64], ...], tag: NDArray[np.int64], starts: NDArray[np.int64],
        masked: NDArray[np.int64], targets: Ids, most: int = 768,
    ) -> Batch:  # fmt: skip
        """Make tensors of all parts; at most `most` masked positions are scored."""
        kept = self.random.permutation(len(masked))[:most]
        nothing = np.zeros(len(corpus.TOPICS), np.float32)
        ids, positions, segments, owner = (torch.from_numpy(a) for a in grid)
        return Batch(
            ids, positions, segments, owner.reshape(-1), torch.from_numpy(masked[kept]),
            torch.from_numpy(targets[kept].astype(np.int64)), torch.from_numpy(starts),
            torch.from_numpy(np.stack([nothing if t.topic is None else t.topic for t in texts])),
            torch.tensor([t.lang for t in texts]), torch.tensor([t.sentiment for t in texts]),
            torch.from_numpy(tag.reshape(-1)), torch.tensor([t.group for t in texts]),
        )  # fmt: skip
