"""Reads the labelled data sets that `corpus.py` does not read, and splits all of them.

A row is held out for choices (`select`) by its place: every fifth SIB-200 sentence, in all languages at once, every
fifth XQuAD paragraph of those that may be trained on, every tenth row of the other sets. Dev files are never read here
but by the functions whose name says so. Must not know tokens.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, TypeVar

from checkpoints.mini.finetuning.data import corpus

T = TypeVar("T")
Split = Literal["train", "select", "dev"]
RELATIONS = ("entailment", "neutral", "contradiction")
XQUAD = {"en": "eng_Latn", "es": "spa_Latn", "ru": "rus_Cyrl", "ar": "arb_Arab", "zh": "zho_Hans", "tr": "tur_Latn"}
# The languages that XLM-R read (Conneau et al. 2020, appendix A), as far as SIB-200 has them.
HUNDRED = frozenset(
    """
    afr_Latn amh_Ethi arb_Arab asm_Beng azj_Latn bel_Cyrl bul_Cyrl ben_Beng bos_Latn cat_Latn ces_Latn cym_Latn
    dan_Latn deu_Latn ell_Grek eng_Latn epo_Latn spa_Latn est_Latn eus_Latn pes_Arab fin_Latn fra_Latn gle_Latn
    gla_Latn glg_Latn guj_Gujr hau_Latn heb_Hebr hin_Deva hrv_Latn hun_Latn hye_Armn ind_Latn isl_Latn ita_Latn
    jpn_Jpan jav_Latn kat_Geor kaz_Cyrl khm_Khmr kan_Knda kor_Hang kmr_Latn kir_Cyrl lao_Laoo lit_Latn lvs_Latn
    plt_Latn mkd_Cyrl mal_Mlym khk_Cyrl mar_Deva zsm_Latn mya_Mymr npi_Deva nld_Latn nob_Latn gaz_Latn ory_Orya
    pan_Guru pol_Latn pbt_Arab por_Latn ron_Latn rus_Cyrl san_Deva snd_Arab sin_Sinh slk_Latn slv_Latn som_Latn
    als_Latn srp_Cyrl sun_Latn swe_Latn swh_Latn tam_Taml tel_Telu tha_Thai tgl_Latn tur_Latn uig_Arab ukr_Cyrl
    urd_Arab uzn_Latn vie_Latn xho_Latn ydd_Hebr zho_Hans zho_Hant
    """.split()  # noqa: SIM905 - a list of strings would take a line for each code
)


@dataclass(frozen=True)
class Pair:
    """Two texts with a relation (its number) or a similarity (0 to 5)."""

    first: str
    second: str
    label: float


@dataclass(frozen=True)
class Question:
    """A question about a context. `start` and `end` are code points of the answer, half-open; `key` is parallel."""

    lang: str
    key: str
    question: str
    context: str
    start: int
    end: int


@dataclass(frozen=True)
class Choice:
    """A question with several answers; `label` is the number of the right one."""

    lang: str
    question: str
    choices: tuple[str, ...]
    label: int


def part(rows: Sequence[T], split: Split, *, choosing: bool, every: int = 10) -> list[T]:
    """Return the rows of a train file for a split. When not choosing, `train` is all of them."""
    if split == "select":
        return list(rows[::every])
    return [row for n, row in enumerate(rows) if not choosing or n % every]


def records(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSON-lines file."""
    yield from (json.loads(line) for line in corpus.lines(path))


def sib(data: Path, split: Split, *, choosing: bool) -> list[corpus.Sentence]:
    """Return SIB-200: the dev files, or a part of the train file that holds whole sentences in every language."""
    if split == "dev":
        return [row for rows in corpus.sib_dev(data).values() for row in rows]
    rows = corpus.sib_train(data)
    indices = part(sorted({row.index for row in rows}), split, choosing=choosing, every=5)
    chosen = set(indices)
    return [row for row in rows if row.index in chosen]


def relations(data: Path, split: Split, *, choosing: bool) -> dict[str, list[Pair]]:
    """Return NLI by language: IndoNLI, and for dev JNLI too, which has no train file here."""

    def indonesian(name: str) -> list[Pair]:
        rows = records(data / "indonli" / f"{name}.jsonl")
        return [Pair(r["premise"], r["hypothesis"], RELATIONS.index(r["label"])) for r in rows]

    if split != "dev":
        return {"id": part(indonesian("train"), split, choosing=choosing)}
    japanese = records(data / "jglue" / "jnli.dev.jsonl")
    pairs = [Pair(r["sentence1"], r["sentence2"], RELATIONS.index(r["label"])) for r in japanese]
    return {"id": indonesian("dev"), "ja": pairs}


def similarities(data: Path, split: Split, *, choosing: bool) -> list[Pair]:
    """Return JSTS: pairs of Japanese sentences with a similarity from 0 to 5."""
    rows = records(data / "jglue" / f"jsts.{'dev' if split == 'dev' else 'train'}.jsonl")
    pairs = [Pair(r["sentence1"], r["sentence2"], float(r["label"])) for r in rows]
    return pairs if split == "dev" else part(pairs, split, choosing=choosing)


def choices(data: Path, split: Split, *, choosing: bool) -> list[Choice]:
    """Return JCommonsenseQA, and for dev XCOPA too, which has no train file here."""
    rows = records(data / "jglue" / f"jcommonsenseqa.{'dev' if split == 'dev' else 'train'}.jsonl")
    found = [Choice("ja", r["question"], tuple(r["choices"]), int(r["label"])) for r in rows]
    if split != "dev":
        return part(found, split, choosing=choosing)
    for path in sorted((data / "xcopa").glob("val.*.jsonl")):
        found += [
            Choice(path.name.split(".")[1], r["premise"], (r["choice1"], r["choice2"]), int(r["label"]))
            for r in records(path)
        ]
    return found


def questions(data: Path, split: Split, *, choosing: bool) -> list[Question]:
    """Return XQuAD in six languages. Of five paragraphs, one is dev, in every language at once."""
    found: list[Question] = []
    for lang in XQUAD:
        articles = json.loads((data / "xquad" / f"xquad.{lang}.json").read_text(encoding="utf-8"))["data"]
        paragraphs = [paragraph for article in articles for paragraph in article["paragraphs"]]
        dev = [p for n, p in enumerate(paragraphs) if n % 5 == 0]
        rest = [p for n, p in enumerate(paragraphs) if n % 5]
        for paragraph in dev if split == "dev" else part(rest, split, choosing=choosing, every=5):
            for asked in paragraph["qas"]:
                answer = asked["answers"][0]
                start, end = answer["answer_start"], answer["answer_start"] + len(answer["text"])
                found.append(Question(lang, asked["id"], asked["question"], paragraph["context"], start, end))
    return found


def contexts(data: Path, *, choosing: bool) -> list[str]:
    """Return the XQuAD paragraphs that may be trained on, each once for each language."""
    return list(dict.fromkeys(row.context for row in questions(data, "train", choosing=choosing)))


def texts_by_language(data: Path, *, choosing: bool) -> dict[str, list[str]]:
    """Return training texts by language, to count pieces. Sets whose language SIB-200 lacks have names of their own."""
    found: dict[str, list[str]] = {}

    def add(lang: str, texts: Iterable[str]) -> None:
        found.setdefault(corpus.ALIASES.get(lang, lang), []).extend(texts)

    for row in sib(data, "train", choosing=choosing):
        add(row.lang, [row.text])
    for lang, rows in groupby(sorted(corpus.opinions(data, "train"), key=lambda o: o.lang), key=lambda o: o.lang):
        add(lang, [row.text for row in rows])
    for tagged in corpus.entities(data, "train", corpus.ENTITY_LANGUAGES):
        add({"zh": "zho_Hant"}.get(tagged.lang, tagged.lang), [tagged.text])
    for asked in questions(data, "train", choosing=choosing):
        add(XQUAD[asked.lang], [asked.question])
    add("jpn_Jpan", [" ".join((row.question, *row.choices)) for row in choices(data, "train", choosing=choosing)])
    add("ind_Latn", [pair.second for pair in relations(data, "train", choosing=choosing)["id"]])
    codes = set(found)
    for passage in corpus.passages(data, codes):
        if passage.lang and passage.source in ("udhr", "documents", "pud", "indonli"):
            add(passage.lang, [passage.text])
    return found


def documents(data: Path) -> list[list[str]]:
    """Return the paragraphs of each longer document."""
    rows = records(data / "documents" / "documents.jsonl.xz")
    return [[p for p in row["text"].split("\n") if len(p) > 30] for row in rows]


def plain_texts(data: Path) -> list[str]:
    """Return plain text for masked words: UDHR, documents, PUD and IndoNLI's train premises; nothing that is judged."""
    rows = corpus.passages(data, set())
    return [row.text for row in rows if row.source in ("udhr", "documents", "pud", "indonli")]


def parallel(data: Path) -> list[tuple[str, str]]:
    """Return (text, English original) of PUD and NusaX train, and of UDHR where the paragraphs are as many."""
    pud = {lang: dict(corpus.table(data / "pud" / f"{lang}.text.tsv")) for lang in ("en", "ar", "th")}
    found = [(text, pud["en"][key]) for lang in pud for key, text in pud[lang].items() if key in pud["en"]]
    nusax = list(corpus.table(data / "nusax_senti" / "train.tsv"))
    english = {row[1]: row[3] for row in nusax if row[0] == "english"}
    found += [(row[3], english[row[1]]) for row in nusax if row[1] in english]
    declarations = list(records(data / "udhr" / "udhr.jsonl.xz"))
    original = next(row["text"].split("\n") for row in declarations if row["bcp47"] == "en")
    for row in declarations:
        paragraphs = row["text"].split("\n")
        if len(paragraphs) == len(original):
            found += [(text, same) for text, same in zip(paragraphs, original, strict=True) if len(same) > 40]
    return found


def words(data: Path) -> list[tuple[str, str]]:
    """Return (word, English entry) of GATITOS, first translations only."""
    return [(word, english) for table in corpus.lexicon(data).values() for english, word in table.items()]
