"""Writes the model card from figures, and says which holds are met. Must not know how figures are made."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from checkpoints.mini.finetuning.data.data_sets import HUNDRED

Figures = Mapping[str, Mapping[str, float]]
WORDS = Path(__file__).with_name("card.md")  # what the card says besides figures
ENGLISH = "eng_Latn"


def everywhere(values: Mapping[str, float]) -> list[float]:
    """Return the figures of all languages."""
    return list(values.values())


def hundred(values: Mapping[str, float]) -> list[float]:
    """Return the figures of the languages that XLM-R read."""
    return [value for code, value in values.items() if code in HUNDRED]


def others(values: Mapping[str, float]) -> list[float]:
    """Return the figures of the languages that XLM-R did not read."""
    return [value for code, value in values.items() if code not in HUNDRED]


def long_names(values: Mapping[str, float]) -> list[float]:
    """Return the figures of NusaX, whose languages are spelled out."""
    return [value for name, value in values.items() if len(name) > 3]


def codes(values: Mapping[str, float]) -> list[float]:
    """Return the figures of AfriSenti, whose languages are codes of three letters."""
    return [value for name, value in values.items() if len(name) == 3]


def of(lang: str) -> Callable[[Mapping[str, float]], list[float]]:
    """Return the choice of one language."""
    return lambda values: [values[lang]] if lang in values else []


@dataclass(frozen=True)
class Hold:
    """A bound on the mean of a figure over some languages."""

    words: str
    figure: str
    choose: Callable[[Mapping[str, float]], list[float]]
    least: float


HOLDS = (
    Hold("topic, accuracy over all languages", "topic", everywhere, 0.74),
    Hold("topic, accuracy over XLM-R's languages", "topic", hundred, 0.82),
    Hold("language identification, accuracy", "language", everywhere, 0.94),
    Hold("sentiment, macro F1 over NusaX", "sentiment", long_names, 0.70),
    Hold("sentiment, macro F1 over AfriSenti", "sentiment", codes, 0.52),
    Hold("entities, strict F1 over Universal NER", "entities", everywhere, 0.60),
    Hold("retrieval of the English original, top-1 over XLM-R's languages", "retrieval", hundred, 0.97),
    Hold("retrieval of the English original, top-1 over all languages", "retrieval", everywhere, 0.90),
    Hold("NLI, macro F1 in Indonesian", "nli", of("id"), 0.55),
    Hold("NLI, macro F1 in Japanese (no Japanese training)", "nli", of("ja"), 0.55),
    Hold("question answering, F1 over XQuAD", "answers F1", everywhere, 0.30),
)


def held(figures: Figures) -> list[str]:
    """Return a table row for each hold: mean, spread over languages, bound, and whether it is met."""
    rows = ["| figure | mean | lowest to highest | bound | met |", "|---|---|---|---|---|"]
    for hold in HOLDS:
        values = hold.choose(figures.get(hold.figure, {}))
        if not values:
            rows.append(f"| {hold.words} | not judged | | {percent(hold.least)} | no |")
            continue
        mean, met = float(np.mean(values)), "yes" if np.mean(values) >= hold.least else "no"
        spread = f"{percent(min(values))} to {percent(max(values))}" if len(values) > 1 else ""
        rows.append(f"| {hold.words} | {percent(mean)} | {spread} | {percent(hold.least)} | {met} |")
    return rows


def percent(value: float) -> str:
    """Return a share as per cent with one digit."""
    return f"{100 * value:.1f}"


def small_table(figures: Figures, names: Sequence[str]) -> list[str]:
    """Return a table of all figures but those of SIB-200: a row for each figure and language."""
    rows = ["| figure | language | value |", "|---|---|---|"]
    return rows + [f"| {name} | {lang} | {percent(value)} |" for name in names for lang, value in figures[name].items()]


def wide_table(figures: Figures) -> list[str]:
    """Return a table of topic, language and retrieval: a row for each language of SIB-200."""
    rows = ["| language | XLM-R read it | topic | identified | English found |", "|---|---|---|---|---|"]
    for code in sorted(figures["topic"]):
        found = "" if code == ENGLISH else percent(figures["retrieval"][code])
        read = "yes" if code in HUNDRED else ""
        values = f"{percent(figures['topic'][code])} | {percent(figures['language'][code])} | {found}"
        rows.append(f"| {code} | {read} | {values} |")
    return rows


def text(figures: Figures, facts: Mapping[str, object]) -> str:
    """Return the card: its words with tables and facts of the run put in."""
    wide = ("topic", "language", "retrieval")
    tables = {
        "holds": held(figures),
        "others": small_table(figures, [name for name in figures if name not in wide]),
        "languages": wide_table(figures),
        "facts": [f"- {name}: {value}" for name, value in facts.items()],
    }
    made = WORDS.read_text(encoding="utf-8")
    for name, rows in tables.items():
        made = made.replace(f"<!-- {name} -->", "\n".join(rows))
    return made


def write(folder: Path, figures: Figures, facts: Mapping[str, object]) -> None:
    """Write MODEL_CARD.md and the figures as JSON."""
    (folder / "MODEL_CARD.md").write_text(text(figures, facts), encoding="utf-8")
    (folder / "figures.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
