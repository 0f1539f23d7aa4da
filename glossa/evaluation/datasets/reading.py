"""Data sets of entities, of questions about a text, and of choices. Must not know models or metrics."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from glossa.evaluation.datasets.dataset import Dataset, Pairs, Wanted
from glossa.evaluation.examples import Choice
from glossa.evaluation.readers.conll import sentences
from glossa.evaluation.readers.files import Found, ill_formed
from glossa.evaluation.readers.squad import questions
from glossa.evaluation.readers.tables import Row, rows

F1_OF_ENTITIES = ("f1_strict", "f1_conll")
# XCOPA asks in one word, and heads read text: the sentences that stand after the premise
ASKED = {"cause": "What was the cause?", "effect": "What happened as a result?"}
MAX_CHOICES = 100


def read_entities(
    found: Found, wanted: Wanted, *, comments: bool = False, outside: Sequence[str] = (), prefixed: bool = False
) -> Pairs:
    """Yield sentences with tags. `prefixed`: the language and a colon stand before each word."""
    prefix = f"{found.lang}:" if prefixed else ""
    for each in sentences(found.path, comments=comments, words=wanted.words, prefix=prefix, outside=outside):
        yield found.lang, each


def read_squad(found: Found, _: Wanted) -> Pairs:
    """Yield questions."""
    for each in questions(found.path):
        yield mlqa_lang(found), each


def mlqa_lang(found: Found) -> str:
    """Return the language of the context, and that of the question after a dash when it is another."""
    asked = found.parts.get("question", found.lang)
    return found.lang if asked == found.lang else f"{found.lang}-{asked}"


def read_xcopa(found: Found, _: Wanted) -> Pairs:
    """Yield premises with the question in words, and two choices."""
    for row in rows(found.path):
        if (asked := row.text("question")) not in ASKED:
            raise ill_formed(row.path, row.line, f"got question {asked[:40]!r}, expected cause or effect")
        choices = (row.text("choice1"), row.text("choice2"))
        yield found.lang, Choice(f"{row.text('premise')} {ASKED[asked]}", choices, _right(row, len(choices)))


def read_commonsense(found: Found, _: Wanted) -> Pairs:
    """Yield questions with five choices: a list `choices`, or the fields `choice0` to `choice4`."""
    for row in rows(found.path):
        if row.has("choices"):
            value = row.value("choices")
            if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
                raise ill_formed(row.path, row.line, "got choices that are no list of texts, expected one")
            choices = tuple(map(str, value))
        else:
            choices = tuple(row.text(f"choice{n}") for n in range(MAX_CHOICES) if n == 0 or row.has(f"choice{n}"))
        yield "ja", Choice(row.text("question"), choices, _right(row, len(choices)))


def _right(row: Row, n_choices: int) -> int:
    label = row.text("label")
    if not label.isdecimal() or int(label) >= n_choices:
        raise ill_formed(row.path, row.line, f"got label {label[:40]!r}, expected 0 to {n_choices - 1}")
    return int(label)


DATASETS = (
    Dataset(
        "wikiann",
        "WikiAnn (Pan et al. 2017; splits of Rahimi et al. 2019), entities",
        "entities",
        F1_OF_ENTITIES,
        "`LANG/test`, `wikiann-LANG/test`, `LANG-test`, or `test-LANG.tsv` of XTREME",
        (
            r"(?:.*/)?(?:wikiann-)?(?P<lang>[a-z]{2,3}(?:-[a-z-]+)?)/(?P<split>train|dev|test)",
            r"(?:.*/)?(?P<lang>[a-z]{2,3})-(?P<split>train|dev|test)",
            r"(?:.*/)?(?P<split>train|dev|test)-(?P<lang>[a-z]{2,3})\.tsv",
        ),
        partial(read_entities, prefixed=True),
        "github.com/afshinrahimi/mmner",
        "not stated; the text is of Wikipedia, CC BY-SA",
    ),
    Dataset(
        "uner",
        "Universal NER (Mayhew et al. 2024), entities",
        "entities",
        F1_OF_ENTITIES,
        "`en_ewt-ud-test.iob2`, or `LANG.dev.conll`",
        (
            r"(?:.*/)?(?P<lang>[a-z]{2,3}_[a-z]+)-ud-(?P<split>train|dev|test)\.iob2",
            r"(?:.*/)?(?P<lang>[a-z]{2,3})\.(?P<split>train|dev|test)\.conll",
        ),
        partial(read_entities, comments=True, outside=("OTH",)),
        "github.com/UniversalNER",
        "CC BY-SA 4.0",
    ),
    Dataset(
        "masakhaner",
        "MasakhaNER and MasakhaNER 2.0 (Adelani et al. 2021, 2022), entities",
        "entities",
        F1_OF_ENTITIES,
        "`LANG/test.txt`",
        (r"(?:.*/)?(?P<lang>[a-z]{3})/(?P<split>train|dev|test)\.txt",),
        read_entities,
        "github.com/masakhane-io/masakhane-ner",
        "CC BY-NC 4.0",
    ),
    Dataset(
        "xquad",
        "XQuAD (Artetxe et al. 2020), question answering",
        "squad",
        ("f1", "exact_match"),
        "`xquad.LANG.json`; it has no splits",
        (r"(?:.*/)?xquad\.(?P<lang>[a-z]{2})\.json",),
        read_squad,
        "github.com/google-deepmind/xquad",
        "CC BY-SA 4.0",
    ),
    Dataset(
        "mlqa",
        "MLQA (Lewis et al. 2020), question answering",
        "mlqa",
        ("f1", "exact_match"),
        "`test-context-LANG-question-LANG.json`; `--lang de-es` for a German context and a Spanish question",
        (r"(?:.*/)?(?P<split>dev|test)-context-(?P<lang>[a-z]{2})-question-(?P<question>[a-z]{2})\.json",),
        read_squad,
        "github.com/facebookresearch/MLQA",
        "CC BY-SA 3.0",
        lang_of=mlqa_lang,
        usual=lambda found: "-" not in mlqa_lang(found),
    ),
    Dataset(
        "xcopa",
        "XCOPA (Ponti et al. 2020), multiple choice",
        "choices",
        ("accuracy",),
        "`test.LANG.jsonl`, `val.LANG.jsonl`",
        (r"(?:.*/)?(?P<split>val|test)\.(?P<lang>[a-z]{2})\.jsonl",),
        read_xcopa,
        "github.com/cambridgeltl/xcopa",
        "CC BY 4.0",
    ),
    Dataset(
        "jcommonsenseqa",
        "JCommonsenseQA of JGLUE (Kurihara et al. 2022), multiple choice",
        "choices",
        ("accuracy",),
        "`jcommonsenseqa-v1.3/valid-v1.3.json`, or `jcommonsenseqa.dev.jsonl`",
        (
            r"(?:.*/)?jcommonsenseqa-v[\d.]+/(?P<split>train|valid)-v[\d.]+\.json",
            r"(?:.*/)?jcommonsenseqa\.(?P<split>train|dev)\.jsonl",
        ),
        read_commonsense,
        "github.com/yahoojapan/JGLUE",
        "CC BY-SA 4.0",
    ),
)
