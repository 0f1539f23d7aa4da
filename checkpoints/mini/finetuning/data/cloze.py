"""Makes questions from plain text: a sentence with a gap, to be filled by a span of the rest of the passage.

A word or two that occur in two sentences of a passage are hidden in one of them, which becomes the question; the other
place is the answer (recurring span selection: Ram et al. 2021). It needs no labels. Must not know tokens.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from checkpoints.mini.finetuning.data.data_sets import Question

SENTENCE = re.compile(r"[^.!?\u3002\uff01\uff1f\u061f\u06d4\u0964]+[.!?\u3002\uff01\uff1f\u061f\u06d4\u0964]*\s*")
WORD = re.compile(r"[^\W_]{4,}|\d{2,}")
TWO_WORDS = re.compile(r"\b(?=([^\W_]{3,} [^\W_]{3,})\b)")
MASK = "<mask>"
MIN_SENTENCES, MAX_CHARACTERS = 3, 900
USUAL = 0.004  # a word in a larger share of the passages of all texts says little


def passages(documents: Iterable[Sequence[str]], contexts: Iterable[str]) -> list[str]:
    """Return passages of at most 900 characters: paragraphs of a document joined, and contexts as they are."""
    found = list(contexts)
    for paragraphs in documents:
        joined = ""
        for paragraph in paragraphs:
            if len(joined) + len(paragraph) > MAX_CHARACTERS and joined:
                found.append(joined)
                joined = ""
            joined = f"{joined} {paragraph}".strip()[:MAX_CHARACTERS]
        found.append(joined)
    return found


def questions(documents: Iterable[Sequence[str]], contexts: Iterable[str], seed: int = 0) -> list[Question]:
    """Return up to two questions for each passage."""
    random = np.random.default_rng(seed)
    texts = passages(documents, contexts)
    seen: Counter[str] = Counter()
    for text in texts:
        seen.update(candidates(text))
    most = max(3, USUAL * len(texts))
    found: list[Question] = []
    for text in texts:
        sentences = SENTENCE.findall(text)
        if len(sentences) < MIN_SENTENCES:
            continue
        places = gaps(sentences)
        rare = [word for word in places if seen[word] <= most]
        chosen = random.permutation(rare)[:2].tolist() if rare else []
        found += [question(sentences, word, places[word], random) for word in chosen]
    return found


def candidates(text: str) -> set[str]:
    """Return the words of a text that may be hidden, and the pairs of words that stand side by side."""
    return {*WORD.findall(text), *TWO_WORDS.findall(text)}


def gaps(sentences: Sequence[str]) -> dict[str, list[int]]:
    """Return the words that stand in two sentences or more, with the numbers of these sentences."""
    found: dict[str, list[int]] = {}
    for n, sentence in enumerate(sentences):
        for word in candidates(sentence):
            found.setdefault(word, []).append(n)
    return {word: found[word] for word in sorted(found) if len(found[word]) > 1}


def question(sentences: Sequence[str], word: str, places: Sequence[int], random: np.random.Generator) -> Question:
    """Return the question that one sentence makes. The context is the passage without this sentence."""
    asked = int(random.choice(places))
    rest = [sentence for n, sentence in enumerate(sentences) if n != asked]
    context = "".join(rest)
    start = context.index(word)
    return Question("", "", sentences[asked].replace(word, MASK).strip(), context, start, start + len(word))
