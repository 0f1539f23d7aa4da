"""Segments the whole corpus once, lets the teachers score it, and returns it as a `Pool`. Must not know models."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from finetuning.data import corpus
from numpy.typing import NDArray

from recipe import lexicon, neighbours, teacher
from recipe.batches import Pool, Text, Votes
from recipe.segment import BLANK, Ids, Segmenter, one_hot, tags

SOFTENED = 0.3  # the share of the consensus in the label of a sentence
NEIGHBOURS = 5  # languages whose sentences a teacher also learns from


def build(data: Path, folder: Path, copies: int = 3) -> tuple[Pool, list[str]]:
    """Return the pool with `copies` sampled segmentations of each sentence, and the language codes in label order."""
    segment = Segmenter(str(folder))
    by_lang: dict[str, list[corpus.Sentence]] = {}
    for row in corpus.sib_train(data):
        by_lang.setdefault(row.lang, []).append(row)
    codes = sorted(by_lang)
    number = {code: n for n, code in enumerate(codes)}
    texts = [[r.text for r in sorted(by_lang[code], key=lambda r: r.index)] for code in codes]
    topics = np.array([r.topic for r in sorted(by_lang[codes[0]], key=lambda r: r.index)])
    labels, wanted = targets(segment, texts, topics)
    judges = teachers(segment, texts, wanted)
    sib = [marked(segment, rows, judge, copies) for rows, judge in zip(texts, judges, strict=True)]
    words, by_topic = lexemes(data, segment)
    others = (sentiment(data, segment, number), entities(data, segment, number), passages(data, segment, number))
    return Pool(sib, labels, segment.opens(), *others, words, by_topic), codes


def written(pieces: list[str]) -> str:
    """Return the normalized text of pieces, with a space at both ends."""
    return "".join(pieces).replace(BLANK, " ") + " "


def targets(
    segment: Segmenter, texts: list[list[str]], topics: NDArray[np.int64]
) -> tuple[NDArray[np.float32], teacher.Floats]:
    """Return labels softened by the consensus of every fifth language: distributions, and centred for the teachers."""
    count = len(corpus.TOPICS)
    said = teacher.consensus([[written(p) for p in segment.spelled(rows)] for rows in texts[::5]], topics, count)
    chances = np.exp(6 * said)
    chances /= chances.sum(1, keepdims=True)
    labels = (1 - SOFTENED) * np.eye(count)[topics] + SOFTENED * chances
    wanted = (1 - teacher.MIXED) * teacher.centred(topics, count) + teacher.MIXED * said
    return labels.astype(np.float32), wanted.astype(np.float32)


def teachers(segment: Segmenter, texts: list[list[str]], wanted: teacher.Floats) -> Iterator[teacher.Teacher]:
    """Yield the teacher of each language, fitted when it is needed."""
    spelled = [segment.spelled(rows) for rows in texts]
    counts = [neighbours.counted([teacher.grams(written(p))[0] for p in rows]) for rows in spelled]
    pieces = [np.concatenate([segment.numbers(p) for p in rows]).astype(np.int64) for rows in spelled]
    for own, others in zip(counts, neighbours.nearest(pieces, len(segment.opens()), NEIGHBOURS), strict=True):
        yield teacher.Teacher([own, *(counts[n] for n in others)], wanted)


def marked(segment: Segmenter, texts: list[str], judge: teacher.Teacher, copies: int) -> list[list[tuple[Ids, Votes]]]:
    """Segment the sentences of a language. Each token gets its votes; their mean is about the score of the sentence."""
    forms = [segment.spelled(texts), *(segment.spelled(texts, sampled=True) for _ in range(copies))]
    found: list[list[tuple[Ids, teacher.Floats]]] = []
    for n, exact in enumerate(forms[0]):
        running = judge(written(exact))
        found.append([])
        for form in forms:
            ends = np.cumsum([len(p) for p in form[n]])
            starts = np.concatenate([[0], ends[:-1]])
            found[-1].append((segment.numbers(form[n]), running[ends] - running[starts]))
    ratio = np.mean([len(row[0][0]) / np.sqrt(row[0][1][:, -1].sum()) for row in found])
    scale = np.array([ratio] * len(corpus.TOPICS) + [ratio**2], np.float32)
    return [[(ids, (votes * scale).astype(np.float16)) for ids, votes in row] for row in found]


def sentiment(data: Path, segment: Segmenter, number: dict[str, int]) -> list[Text]:
    """Return the sentiment rows. They have a language if it is one of SIB-200 and the text is no tweet."""
    rows = corpus.opinions(data, "train")
    ids = segment([r.text for r in rows])
    lang = [number.get(corpus.ALIASES.get(r.lang, ""), -100) if len(r.lang) > 3 else -100 for r in rows]
    return [Text(i, lang=n, sentiment=r.label) for r, i, n in zip(rows, ids, lang, strict=True)]


def entities(data: Path, segment: Segmenter, number: dict[str, int]) -> list[Text]:
    """Return the tagged sentences. The tags follow the character offsets of the shipped tokenizer."""
    rows = corpus.entities(data, "train", corpus.ENTITY_LANGUAGES)
    coded = segment.exact.encode_batch([r.text for r in rows], add_special_tokens=False)
    names = {"zh": "zho_Hant"} | {lang: corpus.ALIASES[lang] for lang in corpus.ENTITY_LANGUAGES if lang != "zh"}
    return [
        Text(np.array(c.ids, np.int32), tags=tags(r, c.offsets), lang=number[names[r.lang]])
        for r, c in zip(rows, coded, strict=True)
    ]


def passages(data: Path, segment: Segmenter, number: dict[str, int]) -> list[Text]:
    """Return plain text. XQuAD passages have the weak topic of their article, the UDHR a weaker `politics`."""
    topics = lexicon.article_topics()
    rows = corpus.passages(data, set(number))
    found: list[Text] = []
    for row, ids in zip(rows, segment([r.text for r in rows]), strict=True):
        name = topics.get(row.source.removeprefix("xquad/"), "politics" if row.source == "udhr" else "")
        sure = 0.4 if row.source == "udhr" else 0.85
        label = one_hot(corpus.TOPICS.index(name), sure) if name else None
        found.append(Text(ids, label, lang=number.get(row.lang, -100)))
    return found


def lexemes(data: Path, segment: Segmenter, copies: int = 1) -> tuple[list[dict[str, list[Ids]]], list[list[str]]]:
    """Segment the lexicon, English first, and list its entries for each topic."""
    words = corpus.lexicon(data)
    words["en"] = {english: english for table in words.values() for english in table}
    topics = lexicon.word_topics()
    found: list[dict[str, list[Ids]]] = []
    for table in words.values():
        values = list(table.values())
        forms = [segment(values), *(segment.sampled(values) for _ in range(copies))]
        found.append({english: [form[n] for form in forms] for n, english in enumerate(table)})
    known = set(words["en"])
    return found, [[w for w in topics[topic] if w in known] for topic in corpus.TOPICS]
