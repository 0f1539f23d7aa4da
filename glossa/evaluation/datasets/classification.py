"""Data sets of texts, or of pairs of texts, with labels: NLI, paraphrases, topics, languages and sentiment.

Must not know models or metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from glossa.evaluation.datasets.dataset import Dataset, Pairs, Wanted
from glossa.evaluation.examples import Labelled
from glossa.evaluation.readers.files import Found, ill_formed
from glossa.evaluation.readers.tables import Row, rows

NLI = ("entailment", "neutral", "contradiction")
SENTIMENT = ("negative", "neutral", "positive")
TOPICS = ("science/technology", "travel", "politics", "sports", "health", "entertainment", "geography")
FLORES = "[a-z]{3}_[A-Z][a-z]{3}"
SIB = (
    rf"(?:.*/)?(?P<lang>{FLORES})/(?P<split>train|dev|test)\.tsv",
    rf"(?:.*/)?(?P<split>train|dev|test)/(?P<lang>{FLORES})\.tsv",
)


def _label(row: Row, labels: tuple[str, ...], written: Mapping[str, str]) -> str:
    text = row.text("label").strip()
    label = written.get(text, text)
    if labels and label not in labels:
        raise ill_formed(row.path, row.line, f"got label {text[:40]!r}, expected one of {', '.join(labels)}")
    return label


def read_pairs(
    found: Found, _: Wanted, *, labels: tuple[str, ...], lang: str = "", written: Mapping[str, str] | None = None
) -> Pairs:
    """Yield pairs with labels. `lang` is that of a set without others; `written` is what files have for a label."""
    for row in rows(found.path):
        label = _label(row, labels, written or {})
        yield _lang(row, found, lang), Labelled(row.text("premise"), label, row.text("hypothesis"))


def read_texts(found: Found, _: Wanted, *, labels: tuple[str, ...]) -> Pairs:
    """Yield texts with labels."""
    for row in rows(found.path):
        yield _lang(row, found, ""), Labelled(row.text("text"), _label(row, labels, {}))


def read_language_names(found: Found, _: Wanted) -> Pairs:
    """Yield the sentences of SIB-200 with the name of their language as their label."""
    for row in rows(found.path):
        yield found.lang, Labelled(row.text("text"), found.lang)


def _lang(row: Row, found: Found, lang: str) -> str:
    return found.lang or lang or row.text("lang")


def _nli(
    name: str, title: str, files: str, patterns: tuple[str, ...], source: str, licence: str, **read: Any
) -> Dataset:
    reader: Callable[[Found, Wanted], Pairs] = partial(read_pairs, labels=NLI, **read)
    return Dataset(name, title, "labels", ("accuracy", "macro_f1"), files, patterns, reader, source, licence, NLI)


DATASETS = (
    _nli(
        "xnli",
        "XNLI (Conneau et al. 2018), natural language inference",
        "`xnli.test.tsv` or `xnli.test.jsonl` of XNLI-1.0",
        (r"(?:.*/)?xnli\.(?P<split>dev|test)\.tsv", r"(?:.*/)?xnli\.(?P<split>dev|test)\.jsonl"),
        "github.com/facebookresearch/XNLI",
        "CC BY-NC 4.0",
    ),
    _nli(
        "americasnli",
        "AmericasNLI (Ebrahimi et al. 2022), natural language inference",
        "`test/LANG.tsv`, or `test.tsv` with a column `lang`",
        (r"(?:.*/)?(?P<split>dev|test)/(?P<lang>[a-z]{2,3})\.tsv", r"(?:.*/)?(?P<split>dev|test)\.tsv"),
        "github.com/abteen/americasnli",
        "CC BY-SA 4.0",
    ),
    _nli(
        "indonli",
        "IndoNLI (Mahendra et al. 2021), natural language inference",
        "`val.jsonl`, `test_lay.jsonl`, `test_expert.jsonl`",
        (r"(?:.*/)?(?P<split>train|dev|val|test|test_lay|test_expert)\.jsonl",),
        "github.com/ir-nlp-csui/indonli",
        "CC BY-SA 4.0",
        lang="id",
        written=dict(zip("enc", NLI, strict=True)),
    ),
    _nli(
        "jnli",
        "JNLI of JGLUE (Kurihara et al. 2022), natural language inference",
        "`jnli-v1.3/valid-v1.3.json`, or `jnli.dev.jsonl`",
        (r"(?:.*/)?jnli-v[\d.]+/(?P<split>train|valid)-v[\d.]+\.json", r"(?:.*/)?jnli\.(?P<split>train|dev)\.jsonl"),
        "github.com/yahoojapan/JGLUE",
        "CC BY-SA 4.0",
        lang="ja",
    ),
    Dataset(
        "pawsx",
        "PAWS-X (Yang et al. 2019), paraphrases",
        "labels",
        ("accuracy", "macro_f1"),
        "`LANG/test_2k.tsv`; English too",
        (r"(?:.*/)?(?P<lang>[a-z]{2})/(?P<split>dev|test)_2k\.tsv",),
        partial(read_pairs, labels=("0", "1")),
        "github.com/google-research-datasets/paws",
        "free for any purpose, with credit to Google",
        ("0", "1"),
        {"0": ("not_paraphrase", "LABEL_0"), "1": ("paraphrase", "LABEL_1")},
    ),
    Dataset(
        "sib200",
        "SIB-200 (Adelani et al. 2024), topics",
        "labels",
        ("accuracy", "macro_f1"),
        "`LANG/test.tsv`, or `test/LANG.tsv`",
        SIB,
        partial(read_texts, labels=TOPICS),
        "github.com/dadelani/sib-200",
        "CC BY-SA 4.0",
        TOPICS,
    ),
    Dataset(
        "sib200-language",
        "SIB-200, which language a sentence is in",
        "labels",
        ("accuracy",),
        "as `sib200`",
        SIB,
        read_language_names,
        "github.com/dadelani/sib-200",
        "CC BY-SA 4.0",
    ),
    Dataset(
        "nusax",
        "NusaX-Senti (Winata et al. 2023), sentiment",
        "labels",
        ("macro_f1", "accuracy"),
        "`LANG/test.csv`, or `test.tsv` with a column `lang`",
        (
            r"(?:.*/)?(?P<lang>[a-z_]+)/(?P<split>train|valid|test)\.csv",
            r"(?:.*/)?(?P<split>train|dev|valid|test)\.tsv",
        ),
        partial(read_texts, labels=SENTIMENT),
        "github.com/IndoNLP/nusax",
        "CC BY-SA 4.0",
        SENTIMENT,
    ),
    Dataset(
        "afrisenti",
        "AfriSenti (Muhammad et al. 2023), sentiment of tweets",
        "labels",
        ("macro_f1", "accuracy"),
        "`LANG/test.tsv`, or `test.tsv` with a column `lang`",
        (
            r"(?:.*/)?(?P<lang>[a-z]{2,3})/(?P<split>train|dev|test)\.tsv",
            r"(?:.*/)?(?P<lang>[a-z]{2,3})_(?P<split>dev|test)_gold_label\.tsv",
            r"(?:.*/)?(?P<split>train|dev|test)\.tsv",
        ),
        partial(read_texts, labels=SENTIMENT),
        "github.com/afrisenti-semeval/afrisent-semeval-2023",
        "CC BY 4.0",
        SENTIMENT,
    ),
)
