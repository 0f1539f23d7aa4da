"""Records what public implementations say of made-up predictions, for the metrics of `glossa evaluate`.

    python -m venv /tmp/recording
    /tmp/recording/bin/pip install seqeval==1.2.2 scipy==1.17.1 scikit-learn==1.9.1
    /tmp/recording/bin/python -m tests.goldens.record_evaluation_metrics evaluate-v1.1.py mlqa_evaluation_v1.py

The two arguments are the official scripts of SQuAD v1.1 and of MLQA. Writes `evaluation_metrics.json` into this folder.
The predictions are drawn with one seed, so that the same file comes of every run.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "evaluation_metrics.json"
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
LABELS = ("negative", "neutral", "positive", "mixed")
WORDS = {
    "en": "the a An Paris, 1990 state-of-the-art — «Seine» river!",
    "es": "el río las «Islas» ¿un? unas Canarias 12 lago, LA",
    "de": "der Die «Rhein» eines Flusses, 3,5 km das Ufer",
    "vi": "của sông là Hồng, những cái 40 km «nước» chiếc",
    "ar": "النهر، في الشمال ١٢ كم؟ الـ باريس قال «نعم»",
    "hi": "गंगा नदी। एक 25 किमी, «जल» का तट? the",
    "zh": "长江 北京, 是 一条 河。 3,5 GDP 公里「水」 A",
}


def answer_cases(draw: random.Random) -> list[dict[str, Any]]:
    """Return answers and gold answers in each language of MLQA, the texts that are nothing but articles included."""
    cases = []
    for lang, text in WORDS.items():
        words = text.split()
        between = "" if lang == "zh" else " "
        spans = [between.join(draw.choices(words, k=draw.randint(1, 5))) for _ in range(36)]
        spans[:6] = ["the", spans[7].upper(), f" {spans[8]}  ", words[0], "?!", ""]
        gold = [[spans[at], draw.choice(spans)][: draw.randint(1, 2)] for at in range(0, 36, 2)]
        given = [draw.choice([spans[at], spans[at + 1]]) for at in range(0, 36, 2)]
        cases.append({"lang": lang, "gold": gold, "given": given})
    return cases


def score_answers(case: dict[str, Any], squad: Any, mlqa: Any) -> dict[str, Any]:
    """Add what both official scripts say."""
    ids = [str(at) for at in range(len(case["gold"]))]
    asked = [
        {"id": each, "answers": [{"text": text} for text in texts]}
        for each, texts in zip(ids, case["gold"], strict=True)
    ]
    data, given = [{"paragraphs": [{"qas": asked}]}], dict(zip(ids, case["given"], strict=True))
    return {**case, "squad": squad.evaluate(data, given), "mlqa": mlqa.evaluate(data, given, case["lang"])}


def module(path: str) -> Any:
    """Import a script by its path."""
    spec: Any = importlib.util.spec_from_file_location(Path(path).stem.replace("-", "_").replace(".", "_"), path)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def main() -> None:
    """Record every case."""
    seqeval, schemes, sklearn, stats = map(
        importlib.import_module, ("seqeval.metrics", "seqeval.scheme", "sklearn.metrics", "scipy.stats")
    )
    squad, mlqa = map(module, sys.argv[1:3])
    draw = random.Random(7)
    entities = []
    for _ in range(40):
        lengths = [draw.randint(1, 9) for _ in range(draw.randint(1, 4))]
        gold, given = ([draw.choices(TAGS, weights=(3, 2, 2, 2, 2), k=n) for n in lengths] for _ in range(2))
        given = [draw.choice([ours, theirs]) for ours, theirs in zip(given, gold, strict=True)]
        strict = seqeval.f1_score(gold, given, mode="strict", scheme=schemes.IOB2, zero_division=0)
        conll = seqeval.f1_score(gold, given, zero_division=0)
        entities.append({"gold": gold, "given": given, "strict": float(strict), "conll": float(conll)})
    labels = []
    for n in (1, 2, 7, 50):
        right, said = (draw.choices(LABELS[: 2 + n % 3], k=n) for _ in range(2))
        macro = float(sklearn.f1_score(right, said, average="macro", zero_division=0))
        accuracy = float(sklearn.accuracy_score(right, said))
        labels.append({"gold": right, "given": said, "macro_f1": macro, "accuracy": accuracy})
    graded = []
    for n in (3, 12, 60):
        first = [float(draw.randint(0, 5)) for _ in range(n)]
        second = [round(value + draw.gauss(0, 2), 1) for value in first]
        correlation = float(stats.spearmanr(first, second).statistic)
        graded.append({"first": first, "second": second, "spearman": correlation})
    answers = [score_answers(case, squad, mlqa) for case in answer_cases(draw)]
    found = {"entities": entities, "labels": labels, "graded": graded, "answers": answers}
    lines = [f' "{name}": [\n{_lines(cases)}\n ]' for name, cases in found.items()]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _lines(cases: Sequence[object]) -> str:
    return ",\n".join(f"  {json.dumps(case, ensure_ascii=False)}" for case in cases)


if __name__ == "__main__":
    main()
