"""Shows what a trained head is worth: as plain lines for people, and as JSON for programs.

Must not know how it was measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from glossa.head_training.judging.judge import Judgement

SHOWN_LABELS, SHOWN_LANGUAGES, SHOWN_CHARS = 40, 40, 72
NAMES = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "f1": "F1, strict",
    "f1_of_words": "F1 with aggregation_strategy=first",
    "majority_accuracy": "accuracy of the most frequent label",
    "calibration_error": "calibration error (ECE)",
    "spearman": "Spearman correlation",
    "ndcg_at_10": "nDCG at 10",
    "mean_absolute_error": "mean absolute error of grades 0 to 1",
}


@dataclass(frozen=True, slots=True)
class TrainingFacts:
    """How a head came about, beside its figures. `temperature` is part of its weights, None where none was fitted.

    `calibration_error_before` is that of scores without the temperature, None where none was measured.
    """

    model: str
    head: str
    task: str
    kind: str
    data: str
    data_sha256: str
    seed: int
    n_train: int
    n_held_out: int
    n_labels: int
    chosen: str
    temperature: float | None
    calibration_error_before: float | None
    seconds: float
    is_model: bool = False


def as_json(facts: TrainingFacts, judgement: Judgement) -> dict[str, object]:
    """Return everything as JSON values, without texts: nobody's text is stored with a head. Lines name them."""
    shown = asdict(judgement)
    shown["worst"] = [{name: value for name, value in each.items() if name != "text"} for each in shown["worst"]]
    told = {name: value for name, value in asdict(facts).items() if name != "seconds"}  # so that a seed gives one file
    return {"training": told, "held_out": shown}


def lines(facts: TrainingFacts, judgement: Judgement) -> Iterator[str]:
    """Yield the lines that people read."""
    rows = f"{facts.n_train:,} rows trained on, {facts.n_held_out:,} held out"
    named = f"{facts.head}, of {facts.model}" if facts.is_model else f"{facts.model}:{facts.head}"
    yield f"{named} ({facts.task}, {facts.kind}): {rows}, {facts.n_labels} labels, {facts.chosen}"
    yield ""
    yield from table(("held out", ""), [(NAMES.get(name, name), _number(v)) for name, v in judgement.summary.items()])
    yield _calibration(facts)
    if judgement.labels:
        yield ""
        worst_first = sorted(judgement.labels.items(), key=lambda item: (item[1].f1, item[0]))[:SHOWN_LABELS]
        rows_of = [
            (label, _number(each.precision), _number(each.recall), _number(each.f1), f"{each.n_rows:,}")
            for label, each in worst_first
        ]
        yield from table(("label", "precision", "recall", "F1", "rows"), rows_of)
        yield from _more(len(judgement.labels), SHOWN_LABELS, "labels with a higher F1")
    if judgement.languages:
        yield ""
        yield from _languages(judgement.languages)
    if judgement.worst:
        yield ""
        yield from table(
            ("worst errors", "expected", "said", "score", "text"),
            [(f"line {e.line}", e.expected, e.said, _number(e.score), e.text) for e in judgement.worst],
        )


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table. Columns are as wide as their widest value; long values are cut."""
    cut = [[_cut(value) for value in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cut) for column in range(len(header))]
    for row in cut:
        yield "  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)).rstrip()


def _languages(languages: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    names = [name for name in next(iter(languages.values())) if name != "n_rows"]
    shown = list(languages.items())[:SHOWN_LANGUAGES]
    rows = [(lang, *[_number(own.get(name)) for name in names], f"{own['n_rows']:,.0f}") for lang, own in shown]
    yield from table(("language", *(NAMES.get(name, name) for name in names), "rows"), rows)
    yield from _more(len(languages), SHOWN_LANGUAGES, "languages")


def _calibration(facts: TrainingFacts) -> str:
    if facts.temperature is None:
        return "calibration: none; scores are as they were trained"
    before = facts.calibration_error_before
    was = "" if before is None else f"; the calibration error was {_number(before)} without it"
    return f"calibration: temperature {facts.temperature:.2f}, part of the weights, fitted to the held-out rows{was}"


def _more(n_all: int, n_shown: int, what: str) -> Iterator[str]:
    if n_all > n_shown:
        yield f"… {n_all - n_shown} more {what}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _cut(value: str) -> str:
    plain = " ".join(value.split())
    return plain if len(plain) <= SHOWN_CHARS else f"{plain[: SHOWN_CHARS - 1]}…"
