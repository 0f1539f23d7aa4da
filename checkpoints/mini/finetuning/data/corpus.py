"""Reads the public data sets of a data folder into plain Python values. Must not know tokens or torch.

The folder has one sub-folder for each set (`sib200`, `nusax_senti`, `afrisenti`, `uner`, `udhr`, `pud`, `xquad`,
`xcopa`, `indonli`, `gatitos`, `documents`). `.xz` files are xz-compressed. TSV files have no quotes and one header
line.
"""

import json
import lzma
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TOPICS = ["science/technology", "travel", "politics", "sports", "health", "entertainment", "geography"]
SENTIMENTS = ["negative", "neutral", "positive"]
TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG"]
ENTITY_LANGUAGES = ["zh", "da", "pt", "hr", "sk"]

# Names of languages in the other sets -> SIB-200 code, where the two clearly mean the same language and script.
ALIASES = {
    "cmn_Hans": "zho_Hans", "cmn_Hant": "zho_Hant", "zlm_Latn": "zsm_Latn", "ekk_Latn": "est_Latn",
    "acehnese": "ace_Latn", "balinese": "ban_Latn", "banjarese": "bjn_Latn", "buginese": "bug_Latn",
    "english": "eng_Latn", "indonesian": "ind_Latn", "javanese": "jav_Latn", "minangkabau": "min_Latn",
    "sundanese": "sun_Latn",
    "da": "dan_Latn", "pt": "por_Latn", "hr": "hrv_Latn", "sk": "slk_Latn", "en": "eng_Latn", "es": "spa_Latn",
    "ru": "rus_Cyrl", "ar": "arb_Arab", "tr": "tur_Latn", "th": "tha_Thai", "id": "ind_Latn", "it": "ita_Latn",
    "et": "est_Latn", "ht": "hat_Latn", "sw": "swh_Latn", "ta": "tam_Taml", "vi": "vie_Latn", "be": "bel_Cyrl",
    "bg": "bul_Cyrl", "bn": "ben_Beng", "de": "deu_Latn", "el": "ell_Grek", "fa": "pes_Arab", "fr": "fra_Latn",
    "hi": "hin_Deva", "hu": "hun_Latn", "ja": "jpn_Jpan", "ko": "kor_Hang", "ms": "zsm_Latn", "nl": "nld_Latn",
    "pl": "pol_Latn", "ro": "ron_Latn", "sa": "san_Deva", "zh-hans": "zho_Hans", "zh-hant": "zho_Hant",
}  # fmt: skip


@dataclass(frozen=True)
class Sentence:
    """A row of SIB-200. Rows with one `index` are the same sentence in different languages."""

    lang: str
    index: int
    topic: int
    text: str


@dataclass(frozen=True)
class Opinion:
    """A row of NusaX-Senti or AfriSenti."""

    lang: str
    label: int
    text: str


@dataclass(frozen=True)
class Tagged:
    """A raw sentence with entity spans (start, end, PER/LOC/ORG) in Unicode code points, half-open."""

    lang: str
    text: str
    spans: tuple[tuple[int, int, str], ...]


@dataclass(frozen=True)
class Passage:
    """Text without a label. `group` names parallel passages, `lang` is a SIB-200 code or empty."""

    lang: str
    text: str
    source: str


def lines(path: Path) -> Iterator[str]:
    """Yield the lines of a UTF-8 text file without line ends. A file named `.xz` is decompressed."""
    with lzma.open(path, "rt", encoding="utf-8") if path.suffix == ".xz" else path.open(encoding="utf-8") as file:
        for line in file:
            yield line.rstrip("\n")


def table(path: Path) -> Iterator[list[str]]:
    """Yield the rows of a TSV file without quotes, and without its header."""
    rows = lines(path)
    next(rows)
    for row in rows:
        yield row.split("\t")


def sib_train(data: Path) -> list[Sentence]:
    """Return the training set of SIB-200: 701 sentences in 205 languages."""
    return [Sentence(r[0], int(r[1]), TOPICS.index(r[2]), r[3]) for r in table(data / "sib200" / "train.tsv.xz")]


def sib_dev(data: Path) -> dict[str, list[Sentence]]:
    """Return the dev set of SIB-200 by language code: 99 sentences of each."""
    files = sorted((data / "sib200" / "dev").glob("*.tsv"))
    return {f.stem: [Sentence(f.stem, int(r[0]), TOPICS.index(r[1]), r[2]) for r in table(f)] for f in files}


def opinions(data: Path, split: str) -> list[Opinion]:
    """Return NusaX-Senti and AfriSenti. `split` is train or dev."""
    nusax = [Opinion(r[0], SENTIMENTS.index(r[2]), r[3]) for r in table(data / "nusax_senti" / f"{split}.tsv")]
    afri = [Opinion(r[0], SENTIMENTS.index(r[1]), r[2]) for r in table(data / "afrisenti" / f"{split}.tsv")]
    return nusax + afri


def align(text: str, words: list[tuple[str, str]]) -> tuple[tuple[int, int, str], ...]:
    """Return the entity spans of a sentence from its (word, IOB2 tag) rows.

    Words are searched in the raw text from left to right. A word that the source split from a contraction is ignored
    (Portuguese `de as` for `das`). An entity reaches from its first to its last word that was found.
    """
    spans: list[tuple[int, int, str]] = []
    at, open_kind = 0, ""
    for word, tag in words:
        start = text.find(word, at, at + len(word) + 12)
        kind = tag[2:] if tag[2:] in {"PER", "LOC", "ORG"} else ""
        if start < 0:
            open_kind = kind if tag.startswith("I-") else ""
            continue
        at = start + len(word)
        if kind and tag.startswith("I-") and kind == open_kind and spans:
            spans[-1] = (spans[-1][0], at, kind)
        elif kind:
            spans.append((start, at, kind))
        open_kind = kind
    return tuple(spans)


def entities(data: Path, split: str, langs: list[str]) -> list[Tagged]:
    """Return the Universal NER sentences. `split` is train or dev. The Croatian kind OTH counts as no entity."""
    found: list[Tagged] = []
    for lang in langs:
        path = data / "uner" / f"{lang}.{split}.conll"
        text, words = "", list[tuple[str, str]]()
        for line in [*lines(path if path.exists() else path.with_name(path.name + ".xz")), ""]:
            if line.startswith("# text = "):
                text = line.removeprefix("# text = ")
            elif line and not line.startswith("#"):
                word, tag = line.split("\t")[:2]
                words.append((word, tag))
            elif not line and words:
                found.append(Tagged(lang, text, align(text, words)))
                words = []
    return found


def lexicon(data: Path) -> dict[str, dict[str, str]]:
    """Return GATITOS as {language: {English entry: first translation}}."""
    words: dict[str, dict[str, str]] = {}
    for lang, english, translations in table(data / "gatitos" / "wordlist.tsv.xz"):
        words.setdefault(lang, {})[english] = translations.split("; ")[0]
    return words


def passages(data: Path, codes: set[str]) -> list[Passage]:
    """Return plain text for the masked language model: UDHR, Open Source Guides, PUD, XQuAD, XCOPA, IndoNLI train."""

    def code(name: str) -> str:
        return name if name in codes else ALIASES.get(name, "")

    found: list[Passage] = []
    for row in map(json.loads, lines(data / "udhr" / "udhr.jsonl.xz")):
        lang = code(f"{row['iso639_3']}_{row['script']}")
        found += [Passage(lang, p, "udhr") for p in row["text"].split("\n") if len(p) > 20]
    for row in map(json.loads, lines(data / "documents" / "documents.jsonl.xz")):
        found += [Passage(code(row["lang"]), p, "documents") for p in row["text"].split("\n") if len(p) > 30]
    for lang in ("en", "ar", "th"):
        found += [Passage(code(lang), r[1], "pud") for r in table(data / "pud" / f"{lang}.text.tsv")]
    for path in sorted((data / "xquad").glob("xquad.*.json")):
        lang = path.name.split(".")[1]
        name = "zho_Hans" if lang == "zh" else code(lang)
        for article in json.loads(path.read_text(encoding="utf-8"))["data"]:
            source = f"xquad/{article['title']}"
            found += [Passage(name, p["context"], source) for p in article["paragraphs"]]
    for path in sorted((data / "xcopa").glob("val.*.jsonl")):
        lang = code(path.name.split(".")[1])
        rows = [json.loads(line) for line in lines(path)]
        found += [Passage(lang, " ".join((r["premise"], r["choice1"], r["choice2"])), "xcopa") for r in rows]
    rows = [json.loads(line) for line in lines(data / "indonli" / "train.jsonl")]
    return found + [Passage("ind_Latn", r["premise"], "indonli") for r in rows]
