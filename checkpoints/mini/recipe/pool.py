"""Segments the whole corpus once and keeps it as a `Pool`; knows nothing of models."""

from pathlib import Path

import numpy as np

from recipe import corpus, lexicon
from recipe.batches import Ids, Pool, Segmenter, Text, one_hot, tags


def build(data: Path, folder: Path, copies: int = 3) -> tuple[Pool, list[str]]:
    """Build the training pool, with `copies` sampled segmentations per sentence; also the codes in label order."""
    segment = Segmenter(str(folder))
    rows = corpus.sib_train(data)
    codes = sorted({r.lang for r in rows})
    number = {code: n for n, code in enumerate(codes)}
    texts = [r.text for r in rows]
    forms = [segment(texts), *(segment.sampled(texts) for _ in range(copies))]
    sib: dict[int, dict[int, list[Ids]]] = {}
    for n, row in enumerate(rows):
        sib.setdefault(row.index, {})[number[row.lang]] = [form[n] for form in forms]
    opinions = sentiment(data, segment, number)
    plain = passages(data, segment, number)
    tagged = entities(data, segment, number)
    words, by_topic = lexemes(data, segment)
    return Pool(sib, {r.index: r.topic for r in rows}, opinions, tagged, plain, words, by_topic), codes


def sentiment(data: Path, segment: Segmenter, number: dict[str, int]) -> list[Text]:
    """Sentiment rows, with the language where it is a SIB-200 one and the text is not a tweet."""
    rows = corpus.opinions(data, "train")
    ids = segment([r.text for r in rows])
    lang = [number.get(corpus.ALIASES.get(r.lang, ""), -100) if len(r.lang) > 3 else -100 for r in rows]
    return [Text(i, lang=n, sentiment=r.label) for r, i, n in zip(rows, ids, lang, strict=True)]


def entities(data: Path, segment: Segmenter, number: dict[str, int]) -> list[Text]:
    """Tagged sentences; the tags follow the character offsets of the shipped tokenizer."""
    rows = corpus.entities(data, "train", corpus.ENTITY_LANGUAGES)
    coded = segment.exact.encode_batch([r.text for r in rows], add_special_tokens=False)
    names = {"zh": "zho_Hant"} | {lang: corpus.ALIASES[lang] for lang in corpus.ENTITY_LANGUAGES if lang != "zh"}
    return [
        Text(np.array(c.ids, np.int32), tags=tags(r, c.offsets), lang=number[names[r.lang]])
        for r, c in zip(rows, coded, strict=True)
    ]


def passages(data: Path, segment: Segmenter, number: dict[str, int]) -> list[Text]:
    """Plain text; XQuAD passages carry the weak topic of their article, the UDHR a weaker `politics`."""
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
    """Segment the lexicon, English first, and list its entries of each topic."""
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
