"""A tiny folder of each data set, in the form in which it was published. All texts are made up.

Must not know how the files are read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from glossa.evaluation.examples import Choice, Example, Graded, Labelled, Question, Tagged, Translation

XNLI_COLUMNS = (
    "language", "gold_label", "sentence1_binary_parse", "sentence2_binary_parse", "sentence1_parse", "sentence2_parse",
    "sentence1", "sentence2", "promptID", "pairID", "genre", "label1", "label2", "label3", "label4", "label5",
    "sentence1_tokenized", "sentence2_tokenized", "match",
)  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """Files by their path, the split they are of, and the examples in them by language."""

    files: Mapping[str, str]
    expected: Mapping[str, Sequence[Example]]
    split: str = "test"

    def write(self, folder: Path) -> Path:
        """Write the files below a folder, and return it."""
        for name, text in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        return folder


def _xnli(lang: str, label: str, premise: str, hypothesis: str) -> str:
    cells = {"language": lang, "gold_label": label, "sentence1": premise, "sentence2": hypothesis}
    return "\t".join(cells.get(column, "x") for column in XNLI_COLUMNS)


def _squad(question: str, context: str, *answers: str) -> str:
    found = [{"text": text, "answer_start": context.index(text)} for text in answers]
    asked = {"id": "q1", "question": question, "answers": found}
    return json.dumps(
        {"version": "1.0", "data": [{"title": "t", "paragraphs": [{"context": context, "qas": [asked]}]}]}
    )


def _json(**values: object) -> str:
    return json.dumps(values, ensure_ascii=False) + "\n"


NLI = "language\tlabel\tpremise\thypothesis\n"
SIB = "index_id\tcategory\ttext\n"
STORM = Labelled("A storm came.", "entailment", "It rained.")
UNER_TEXT = "Ana foi do Rio"
UNER_WORDS = "1\tAna\tB-PER\t-\tx\n2\tfoi\tO\n3\tde\tO\n4\to\tB-OTH\t-\tx\n5\tRio\tB-LOC\n\n"
UNER = f"# sent_id = a-1\n# text = {UNER_TEXT}\n{UNER_WORDS}"
UNER_TAGS = ("B-PER", "O", "O", "O", "B-LOC")
TWO_WORDS = Tagged("Ali came", ((0, 3), (4, 8)), ("B-PER", "O"))

SAMPLES: Mapping[str, Sample] = {
    "xnli": Sample(
        {
            "XNLI-1.0/xnli.test.tsv": "\n".join(
                [
                    "\t".join(XNLI_COLUMNS),
                    _xnli("de", "entailment", 'Ein "Sturm', "Es regnete."),
                    _xnli("sw", "neutral", "Dhoruba.", "Mvua."),
                ]
            )
            + "\n",
            "XNLI-1.0/xnli.test.jsonl": _json(language="de", gold_label="neutral", sentence1="not", sentence2="read"),
        },
        {"de": [Labelled('Ein "Sturm', "entailment", "Es regnete.")], "sw": [Labelled("Dhoruba.", "neutral", "Mvua.")]},
    ),
    "americasnli": Sample(
        {"anli_final/test/aym.tsv": f"{NLI}aym\tentailment\tA storm came.\tIt rained.\n"}, {"aym": [STORM]}
    ),
    "indonli": Sample(
        {"val.jsonl": _json(premise="A storm came.", hypothesis="It rained.", label="e")}, {"id": [STORM]}, "dev"
    ),
    "jnli": Sample(
        {"jnli-v1.3/valid-v1.3.json": _json(sentence1="A storm came.", sentence2="It rained.", label="entailment")},
        {"ja": [STORM]},
        "dev",
    ),
    "pawsx": Sample(
        {"x-final/ko/test_2k.tsv": "id\tsentence1\tsentence2\tlabel\n1\tA b.\tB a.\t1\n"},
        {"ko": [Labelled("A b.", "1", "B a.")]},
    ),
    "sib200": Sample(
        {
            "data/annotated/deu_Latn/test.tsv": f"{SIB}7\ttravel\tDer Zug.\n",
            "data/annotated/deu_Latn/train.tsv": f"{SIB}8\ttravel\tDas Schiff.\n",
        },
        {"deu_Latn": [Labelled("Der Zug.", "travel")]},
    ),
    "sib200-language": Sample(
        {"dev/deu_Latn.tsv": f"{SIB}7\ttravel\tDer Zug.\n"}, {"deu_Latn": [Labelled("Der Zug.", "deu_Latn")]}, "dev"
    ),
    "nusax": Sample(
        {"sentiment/javanese/valid.csv": 'id,text,label\n4,"Good, ""very""\ngood.",positive\n'},
        {"javanese": [Labelled('Good, "very"\ngood.', "positive")]},
        "dev",
    ),
    "afrisenti": Sample(
        {"data/hau/test.tsv": "ID\ttweet\tlabel\nha_1\tIt is good\tpositive\n"},
        {"hau": [Labelled("It is good", "positive")]},
    ),
    "wikiann": Sample({"wikiann-sw/test": "sw:Ali\tB-PER\nsw:came\tO\n"}, {"sw": [TWO_WORDS]}),
    "uner": Sample(
        {"pt_bosque-ud-test.iob2": UNER},
        {"pt_bosque": [Tagged("Ana foi de o Rio", ((0, 3), (4, 7), (8, 10), (11, 12), (13, 16)), UNER_TAGS)]},
    ),
    "masakhaner": Sample({"data/hau/test.txt": "Ali B-PER\ncame O\n\n"}, {"hau": [TWO_WORDS]}),
    "xquad": Sample(
        {"xquad.tr.json": _squad("Kim?", "\ufeffAli geldi.", "Ali")},
        {"tr": [Question("Kim?", "\ufeffAli geldi.", ("Ali",))]},
        "all",
    ),
    "mlqa": Sample(
        {
            "test/test-context-de-question-de.json": _squad("Wer?", "Ali kam.", "Ali", "Ali kam"),
            "test/test-context-de-question-es.json": _squad("¿Quién?", "Ali kam.", "Ali"),
        },
        {"de": [Question("Wer?", "Ali kam.", ("Ali", "Ali kam"))]},
    ),
    "xcopa": Sample(
        {
            "data/it/test.it.jsonl": _json(
                premise="Piove.", choice1="A.", choice2="B.", question="effect", label=1, idx=0
            )
        },
        {"it": [Choice("Piove. What happened as a result?", ("A.", "B."), 1)]},
    ),
    "jcommonsenseqa": Sample(
        {
            "jcommonsenseqa-v1.3/valid-v1.3.json": _json(
                q_id=1, question="Q", choice0="a", choice1="b", choice2="c", choice3="d", choice4="e", label=4
            )
        },
        {"ja": [Choice("Q", ("a", "b", "c", "d", "e"), 4)]},
        "dev",
    ),
    "tatoeba": Sample(
        {"tatoeba.deu-eng.deu": "Ja.\nNein.\n", "tatoeba.deu-eng.eng": "Yes.\nNo.\n"},
        {"deu": [Translation("Ja.", "Yes."), Translation("Nein.", "No.")]},
        "all",
    ),
    "sib200-retrieval": Sample(
        {
            "test/deu_Latn.tsv": f"{SIB}2\ttravel\tNein.\n1\ttravel\tJa.\n",
            "test/eng_Latn.tsv": f"{SIB}1\ttravel\tYes.\n2\ttravel\tNo.\n",
        },
        {"deu_Latn": [Translation("Nein.", "No."), Translation("Ja.", "Yes.")]},
    ),
    "stsb": Sample(
        {"stsbenchmark/sts-test.csv": 'main\tnews\t2012\t24\t2.500\tA "b.\tB.\nmain\tnews\t2012\t25\t0\tA.\tB.\tx\n'},
        {"en": [Graded('A "b.', "B.", 2.5), Graded("A.", "B.", 0.0)]},
    ),
    "sts17": Sample(
        {"eval/STS.input.track1.ar-ar.txt": "a\tb\nc\td\n", "gs/STS.gs.track1.ar-ar.txt": "1.5\n4\n"},
        {"track1.ar-ar": [Graded("a", "b", 1.5), Graded("c", "d", 4.0)]},
        "all",
    ),
    "sts17-extended": Sample({"STS.en-de.txt": "a\tb\t1.5\n"}, {"en-de": [Graded("a", "b", 1.5)]}, "all"),
    "jsts": Sample(
        {"jsts-v1.3/valid-v1.3.json": _json(sentence1="a", sentence2="b", label=1.5)},
        {"ja": [Graded("a", "b", 1.5)]},
        "dev",
    ),
}
