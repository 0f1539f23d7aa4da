"""Makes packed training batches from the corpus. Each text is varied each time it is drawn.

A step mixes all tasks by a token budget. A SIB-200 sentence is drawn in a few languages: whole, or with tokens left
out. More than half of the time it is a shuffled text instead: parts of several sentences of one language in random
order, labelled by the teacher of the language. Subword sampling (Kudo 2018) is drawn once for each text and copy, at
the start. Rows with weak topic labels come from `lexicon`. There is no padding between texts: each goes into the first
row with enough free space.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from finetuning.data import corpus
from numpy.typing import NDArray

from recipe.model import IGNORED, SHARPNESS, STEADY, Batch
from recipe.segment import Ids, one_hot

Votes = NDArray[np.float16]  # [tokens, topics + 1], the last column is the squared weight
START, PAD, END, MASK, FIRST = 0, 1, 2, 31_999, 4
PLAIN, THINNED = 0.25, 0.19  # shares of whole and thinned rows of SIB-200; all others are shuffled
SHARES = {"sib": 0.86, "opinion": 0.05, "entity": 0.05, "passage": 0.03, "words": 0.01}


@dataclass
class Text:
    """One text of a batch before packing. Its ids have no `<s>` and `</s>` yet."""

    ids: Ids
    topic: NDArray[np.float32] | None = None
    lang: int = IGNORED
    sentiment: int = IGNORED
    tags: Ids | None = None
    votes: Votes | None = None


@dataclass
class Pool:
    """All texts as ids. Batches are drawn from it."""

    sib: list[list[list[tuple[Ids, Votes]]]]  # [language][sentence][segmentation], the tokenizer's own first
    topic: NDArray[np.float32]  # [sentences, topics], the softened labels
    opens: NDArray[np.bool_]  # [vocabulary], whether a piece opens a word
    opinions: list[Text]
    entities: list[Text]
    passages: list[Text]
    words: list[dict[str, list[Ids]]]
    words_by_topic: list[list[str]] = field(default_factory=list)


class Batches:
    """Makes batches without end."""

    def __init__(self, pool: Pool, budget: int, seed: int, width: int = 112) -> None:
        self.pool, self.budget, self.width = pool, budget, width
        self.random = np.random.default_rng(seed)
        self.deck: dict[str, list[int]] = {}

    def next(self, *, long: bool = False) -> Batch:
        """Draw a mixed batch of about `budget` tokens. A long batch has rows of 512 tokens with joined passages."""
        texts: list[Text] = []
        for kind, share in SHARES.items():
            free_tokens = self.budget * share
            while free_tokens > 0:
                drawn = self.passage(long=long) if kind == "passage" else getattr(self, kind)()
                texts += drawn
                free_tokens -= sum(len(t.ids) + 2 for t in drawn)
        return self.pack(texts, 512 if long else self.width)

    def next_index(self, name: str, count: int) -> int:
        """Return the next index in random order. All indices come once before any comes again."""
        deck = self.deck.setdefault(name, [])
        if not deck:
            deck.extend(self.random.permutation(count).tolist())
        return deck.pop()

    def sentence(self, index: int, lang: int) -> tuple[Ids, Votes]:
        """Return one segmentation of a SIB-200 sentence with its votes. Half of the time it is the tokenizer's own."""
        forms = self.pool.sib[lang][index]
        return forms[0 if self.random.random() < 0.5 else self.random.integers(len(forms))]

    def sib(self) -> list[Text]:
        """Draw a sentence in several languages: whole, thinned, or shuffled with others of its language."""
        index = self.next_index("sib", len(self.pool.topic))
        return [self.variant(index, int(lang)) for lang in self.random.choice(len(self.pool.sib), 3, replace=False)]

    def variant(self, index: int, lang: int) -> Text:
        """Return one variant of a sentence."""
        dice = self.random.random()
        if dice > PLAIN + THINNED:
            return self.shuffled(lang)
        ids, votes = self.sentence(index, lang)
        if dice > PLAIN:
            keep = self.random.random(len(ids)) >= 0.25
            ids, votes = (ids[keep], votes[keep]) if keep.any() else (ids, votes)
        return Text(ids, self.pool.topic[index], lang, votes=votes)

    def shuffled(self, lang: int) -> Text:
        """Join parts of several sentences of one language. Its teacher gives the label of the whole."""
        free_tokens, parts = int(self.random.integers(12, 48)), list[tuple[Ids, Votes]]()
        while free_tokens > 0:
            part = self.part(*self.sentence(int(self.random.integers(len(self.pool.topic))), lang))
            parts.append(part)
            free_tokens -= len(part[0])
        ids, votes = (np.concatenate(column) for column in zip(*parts, strict=True))
        total = votes.astype(np.float32).sum(0)
        logits = SHARPNESS * total[:-1] / np.sqrt(max(1e-3, total[-1]))
        label = np.exp(logits - logits.max())
        return Text(ids, label / label.sum(), lang, votes=votes)

    def part(self, ids: Ids, votes: Votes) -> tuple[Ids, Votes]:
        """Return some whole words of a sentence. In scripts without spaces between words, return any pieces."""
        size = int(self.random.integers(2, 14))
        start = int(self.random.integers(max(1, len(ids) - 2)))
        opens = np.flatnonzero(self.pool.opens[ids])
        if len(opens) * 8 > len(ids):
            start = int(opens[max(0, int(np.searchsorted(opens, start, "right")) - 1)])
            later = opens[opens >= start + size]
            size = int(later[0]) - start if len(later) else len(ids) - start
        return ids[start : start + size], votes[start : start + size]

    def thin(self, ids: Ids, rate: float = 0.12) -> Ids:
        """Return the text with some tokens left out."""
        kept = ids[self.random.random(len(ids)) >= rate]
        return kept if len(kept) else ids

    def opinion(self) -> list[Text]:
        """Draw a sentiment row, half of the time thinned."""
        text = self.pool.opinions[self.next_index("opinion", len(self.pool.opinions))]
        ids = self.thin(text.ids) if self.random.random() < 0.5 else text.ids
        return [Text(ids[:110], lang=text.lang, sentiment=text.sentiment)]

    def entity(self) -> list[Text]:
        """Draw a tagged sentence."""
        text = self.pool.entities[self.next_index("entity", len(self.pool.entities))]
        return [Text(text.ids[:110], lang=text.lang, tags=None if text.tags is None else text.tags[:110])]

    def passage(self, *, long: bool = False) -> list[Text]:
        """Draw plain text: a part of one passage, or passages in sequence joined up to 510 tokens."""
        at = self.next_index("passage", len(self.pool.passages))
        text, max_tokens = self.pool.passages[at], 510 if long else 110
        if long:
            following = [t.ids for t in self.pool.passages[at : at + 12] if t.lang == text.lang]
            return [Text(np.concatenate(following)[:max_tokens], lang=text.lang)]
        start = self.random.integers(max(1, len(text.ids) - max_tokens + 1))
        return [Text(text.ids[start : start + max_tokens], text.topic, text.lang)]

    def words(self) -> list[Text]:
        """Return a list of words in two languages of the lexicon, mostly of one topic, which is a weak label."""
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
        label_or_none = label if topical else None
        if self.random.random() < 0.5:
            joined = np.concatenate([parts[0], np.array([END, END], np.int32), parts[1]])
            return [Text(joined[:110], label_or_none)]
        return [Text(p[:100], label_or_none) for p in parts]

    def pack(self, texts: list[Text], width: int) -> Batch:
        """Mask and pack all texts into rows of `width`: longest first, each into the first row with space.

        Empty rows are added so that nearly all batches have one shape.
        """
        texts = [t for t in texts if len(t.ids)]
        for text in texts:
            text.ids = text.ids[: width - 2]
            text.votes = None if text.votes is None else text.votes[: width - 2]
        texts.sort(key=lambda t: -len(t.ids))
        rows: list[list[int]] = []
        free: list[int] = []
        for number, text in enumerate(texts):
            size = len(text.ids) + 2
            row = next((r for r, left in enumerate(free) if left >= size), None)
            if row is None:
                row = len(rows)
                rows.append([])
                free.append(width)
            rows[row].append(number)
            free[row] -= size
        if width == STEADY[1]:
            rows += [[] for _ in range(STEADY[0] - len(rows))]
        return self.tensors(texts, rows, width)

    def tensors(self, texts: list[Text], rows: list[list[int]], width: int) -> Batch:
        """Return the packed batch as tensors."""
        shape = (len(rows), width)
        ids, positions = np.full(shape, PAD, np.int64), np.full(shape, 1, np.int64)
        segments, owner = np.zeros(shape, np.int64), np.full(shape, len(texts), np.int64)
        tag, masked, targets = np.full(shape, IGNORED, np.int64), [], []
        votes, voting = np.zeros((*shape, len(corpus.TOPICS)), np.float32), np.zeros(shape, np.bool_)
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
                if text.votes is not None:
                    votes[row, at + 1 : at + size - 1] = text.votes[:, :-1]
                    voting[row, at + 1 : at + size - 1] = shown != MASK
                starts[number] = row * width + at
                masked.append(row * width + at + 1 + where)
                targets.append(text.ids[where])
                at += size
        grid = (ids, positions, segments, owner)
        flat = (tag.reshape(-1), votes.reshape(-1, votes.shape[-1]), voting.reshape(-1))
        return self.finish(texts, grid, flat, starts, np.concatenate(masked), np.concatenate(targets))

    def mask(self, text: Text) -> tuple[Ids, NDArray[np.int64]]:
        """Return ids with some tokens hidden, and where: 80 % `<mask>`, 10 % another token, 10 % unchanged."""
        gentle = text.tags is not None or text.sentiment != IGNORED
        rate = self.random.choice([0.0, 0.1, 0.2] if gentle else [0.0, 0.1, 0.25])
        where = np.flatnonzero((self.random.random(len(text.ids)) < rate) & (text.ids >= FIRST))
        shown, dice = text.ids.copy(), self.random.random(len(where))
        shown[where[dice < 0.8]] = MASK
        swapped = where[(dice >= 0.8) & (dice < 0.9)]
        shown[swapped] = self.random.integers(FIRST, MASK, len(swapped))
        return shown, where

    def finish(
        self, texts: list[Text], grid: tuple[NDArray[np.int64], ...], flat: tuple[NDArray[np.generic], ...],
        starts: NDArray[np.int64], masked: NDArray[np.int64], targets: Ids, *, most: int = 96,
    ) -> Batch:  # fmt: skip
        """Return the batch of all parts. At most `most` masked positions count in the loss."""
        kept = self.random.permutation(len(masked))[:most]
        nothing = np.zeros(len(corpus.TOPICS), np.float32)
        ids, positions, segments, owner = (torch.from_numpy(a) for a in grid)
        return Batch(
            ids, positions, segments, owner.reshape(-1), torch.from_numpy(masked[kept]),
            torch.from_numpy(targets[kept].astype(np.int64)), torch.from_numpy(starts),
            torch.from_numpy(np.stack([nothing if t.topic is None else t.topic for t in texts])),
            torch.tensor([t.lang for t in texts]), torch.tensor([t.sentiment for t in texts]),
            torch.from_numpy(flat[0]), *map(torch.from_numpy, flat[1:]),
        )  # fmt: skip
