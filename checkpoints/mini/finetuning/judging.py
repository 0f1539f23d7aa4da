"""Judges an exported folder on a split: the figures of the model card, and the holds it has to meet.

It reads the shipped bf16 weights into fp32. Each part returns figures by language. `dev` is judged once: a caller asks
for it when no choice is left. Must not know training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from numpy.typing import NDArray
from torch import Tensor

from checkpoints.mini.finetuning import examples, export, metrics
from checkpoints.mini.finetuning.batches import Batches, hidden, padded
from checkpoints.mini.finetuning.data import corpus, data_sets
from checkpoints.mini.finetuning.data.data_sets import Split
from checkpoints.mini.finetuning.examples import IGNORED, Encoder, Examples
from checkpoints.mini.finetuning.network import Network, mean

Figures = dict[str, dict[str, float]]  # name of the figure, then language
BUDGET, MAX_ANSWER = 4_096, 30  # tokens: of a batch, of an answer
MOST = 510


@dataclass(frozen=True)
class Judge:
    """What all parts need. `every` takes every nth row only, for a quick look."""

    network: Network
    languages: Sequence[str]
    encode: Encoder
    data: Path
    split: Split
    every: int = 1

    @torch.inference_mode()
    def outputs(self, rows: Examples, read: Callable[[Tensor, Tensor], Tensor]) -> list[Tensor]:
        """Return what `read` gives of (states, ids) for each text, in their order."""
        found: list[Tensor] = [torch.empty(0)] * len(rows.ids)
        for part in Batches(rows, BUDGET, 0).once():
            batch = padded(rows, part)
            values = read(self.network.encode(batch.ids, torch.float32), batch.ids)
            for n, value in zip(part, values, strict=True):
                found[n] = value.clone()
        return found

    def classify(self, head: str, rows: Examples) -> list[int]:
        """Return the best label of each text by a head on `<s>`."""
        return [
            int(value.argmax())
            for value in self.outputs(rows, lambda states, _: self.network.heads[head](states[:, 0]))
        ]

    def sib(self) -> Figures:
        """Return topic, language and retrieval accuracy of SIB-200."""
        rows = data_sets.sib(self.data, self.split, choosing=True)
        codes = set(self.languages[:: self.every]) | {"eng_Latn"}
        rows = [row for row in rows if row.lang in codes]
        coded = examples.topics(self.encode, rows, self.languages)

        def read(states: Tensor, ids: Tensor) -> Tensor:
            vectors = mean(states, ids)
            return torch.cat(
                [vectors, self.network.heads["topic"](vectors), self.network.heads["language"](states[:, 0])], 1
            )

        width = self.network.config.hidden_size
        values = torch.stack(self.outputs(coded, read))
        vectors, topic, language = values[:, :width], values[:, width : width + 7], values[:, width + 7 :]
        right = {
            "topic": topic.argmax(1).numpy() == coded.labels["topic"],
            "language": language.argmax(1).numpy() == coded.labels["language"],
            "retrieval": retrieved(vectors, rows),
        }
        langs = np.array([row.lang for row in rows])
        found = {
            name: {code: float(hits[langs == code].mean()) for code in sorted(codes)} for name, hits in right.items()
        }
        found["retrieval"].pop("eng_Latn")
        usual = metrics.majority([row.topic for row in rows])
        return found | {"topic majority": {"all": float(np.mean([row.topic == usual for row in rows]))}}

    def sentiment(self) -> Figures:
        """Return the macro F1 of each sentiment language; NusaX has long names, AfriSenti has codes."""
        rows = self.some(corpus.opinions(self.data, "dev" if self.split == "dev" else "train"))
        given = self.classify("sentiment", examples.opinions(self.encode, rows))
        return by_language("sentiment", [row.lang for row in rows], [row.label for row in rows], given)

    def entities(self) -> Figures:
        """Return the strict span F1 of each Universal NER language. English has no train file: it is dev only."""
        dev = self.split == "dev"
        langs = [*corpus.ENTITY_LANGUAGES, *(["en"] if dev else [])]
        rows = self.some(corpus.entities(self.data, "dev" if dev else "train", langs))
        coded = self.encode.tokenizer.encode_batch([row.text for row in rows])
        texts = Examples([examples.cut(np.array(one.ids, np.int64), MOST) for one in coded])
        best = self.outputs(texts, lambda states, _: self.network.heads["entities"](states).argmax(2))
        given = []
        for row, one, tags in zip(rows, coded, best, strict=True):
            n = min(len(one.ids), MOST)
            given.append(metrics.spans([corpus.TAGS[tag] for tag in tags[:n].tolist()], one.offsets[:n], row.text))
        gold = [set(row.spans) for row in rows]
        found = {}
        for lang in langs:
            own = [n for n, row in enumerate(rows) if row.lang == lang]
            found[lang] = metrics.span_f1([gold[n] for n in own], [given[n] for n in own])
        return {"entities": found}

    def nli(self) -> Figures:
        """Return the macro F1 of NLI by language."""
        found: Figures = {}
        for lang, rows in data_sets.relations(self.data, self.split, choosing=True).items():
            some = rows[:: self.every]
            given = self.classify("nli", examples.pairs(self.encode, some))
            merge(found, by_language("nli", [lang] * len(some), [int(row.label) for row in some], given))
        return found

    def choice(self) -> Figures:
        """Return the accuracy of multiple choice by language. Chance is 20 % in `ja` and 50 % elsewhere."""
        rows = data_sets.choices(self.data, self.split, choosing=True)[:: self.every]
        found: dict[str, float] = {}
        for lang in sorted({row.lang for row in rows}):
            own = [row for row in rows if row.lang == lang]
            values = self.outputs(examples.choices(self.encode, own), lambda s, _: self.network.choose(s[:, 0]))
            best = torch.stack(values).view(len(own), -1).argmax(1).tolist()
            found[lang] = metrics.accuracy([row.label for row in own], best)
        return {"choice": found}

    def similarity(self) -> Figures:
        """Return Spearman's correlation of cosines and scores on JSTS."""
        rows = data_sets.similarities(self.data, self.split, choosing=True)[:: self.every]
        vectors = F.normalize(torch.stack(self.outputs(examples.similarities(self.encode, rows), mean)), dim=1)
        cosines = (vectors[::2] * vectors[1::2]).sum(1).tolist()
        return {"similarity": {"ja": metrics.spearman([row.label for row in rows], cosines)}}

    def masked(self) -> Figures:
        """Return the accuracy of hidden pieces (15 %, one seed) on sentences of SIB-200."""
        rows = Examples(
            self.encode([row.text for row in data_sets.sib(self.data, self.split, choosing=True)][:: 10 * self.every])
        )
        random, hits, total = np.random.default_rng(0), 0, 0
        with torch.inference_mode():
            for part in Batches(rows, BUDGET, 0).once():
                ids, targets = hidden(padded(rows, part), self.network.config.vocab_size - 1, random)
                at = targets != IGNORED
                best = self.network.predict(self.network.encode(ids, torch.float32)[at]).argmax(1)
                hits, total = hits + int((best == targets[at]).sum()), total + int(at.sum())
        return {"masked": {"all": hits / total}}

    def answers(self) -> Figures:
        """Return F1 and exact matches of question answering, on paragraphs that are trained on in no language."""
        rows = data_sets.questions(self.data, self.split, choosing=True)[:: self.every]
        coded = self.encode.tokenizer.encode_batch([(row.question, row.context) for row in rows])
        texts = Examples([examples.cut(np.array(one.ids, np.int64), MOST) for one in coded])
        logits = self.outputs(texts, lambda states, _: self.network.heads["answers"](states))
        found: Figures = {"answers F1": {}, "answers exact": {}}
        scores: dict[str, list[tuple[float, float]]] = {}
        for row, one, value in zip(rows, coded, logits, strict=True):
            n = min(len(one.ids), MOST)
            context = np.array([place == 1 for place in one.sequence_ids[:n]])
            first, last = best_span(value[:n].numpy(), context)
            given = row.context[one.offsets[first][0] : one.offsets[last][1]].strip()
            gold = row.context[row.start : row.end]
            scores.setdefault(row.lang, []).append((metrics.answer_f1(gold, given), metrics.exact(gold, given)))
        for lang, pairs in scores.items():
            found["answers F1"][lang], found["answers exact"][lang] = np.mean(pairs, 0).tolist()
        return found

    def some(self, rows: Sequence[data_sets.T]) -> list[data_sets.T]:
        """Return the rows of the split: all dev rows, or those of a train file that are held out."""
        chosen = list(rows) if self.split == "dev" else data_sets.part(rows, self.split, choosing=True)
        return chosen[:: self.every]


def retrieved(vectors: Tensor, rows: Sequence[corpus.Sentence]) -> NDArray[np.bool_]:
    """Return for each sentence whether its English original is the nearest of all English sentences."""
    unit = F.normalize(vectors, dim=1)
    english = [n for n, row in enumerate(rows) if row.lang == "eng_Latn"]
    best = (unit @ unit[english].T).argmax(1).tolist()
    return np.array([rows[english[at]].index == row.index for at, row in zip(best, rows, strict=True)])


def best_span(logits: NDArray[np.float32], context: NDArray[np.bool_]) -> tuple[int, int]:
    """Return the first and last token of the best span of at most 30 tokens inside the context."""
    start = np.where(context, logits[:, 0], -1e9)
    end = np.where(context, logits[:, 1], -1e9)
    n = np.arange(len(start))
    possible = (n[None, :] >= n[:, None]) & (n[None, :] < n[:, None] + MAX_ANSWER)
    scores = np.where(possible, start[:, None] + end[None, :], -np.inf)
    first, last = divmod(int(scores.argmax()), len(start))
    return first, last


def by_language(name: str, langs: Sequence[str], gold: Sequence[int], given: Sequence[int]) -> Figures:
    """Return macro F1 and the majority baseline's for each language."""
    found: Figures = {name: {}, f"{name} majority": {}}
    for lang in sorted(set(langs)):
        own = [n for n, code in enumerate(langs) if code == lang]
        labels = [gold[n] for n in own]
        found[name][lang] = metrics.macro_f1(labels, [given[n] for n in own])
        found[f"{name} majority"][lang] = metrics.macro_f1(labels, [metrics.majority(labels)] * len(labels))
    return found


def merge(found: Figures, more: Mapping[str, Mapping[str, float]]) -> None:
    """Add figures of other languages."""
    for name, values in more.items():
        found.setdefault(name, {}).update(values)


def judge(folder: Path, data: Path, split: Split, *, every: int = 1) -> Figures:
    """Return all figures of an exported folder on a split."""
    network, languages = export.read(folder)
    one = Judge(network, languages, Encoder(folder), data, split, every)
    found: Figures = {}
    for part in (one.sib, one.sentiment, one.entities, one.nli, one.choice, one.similarity, one.masked, one.answers):
        merge(found, part())
        print(f"judged: {part.__name__}", flush=True)
    return found
