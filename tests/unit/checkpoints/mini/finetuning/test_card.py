"""The model card from figures."""

from __future__ import annotations

from checkpoints.mini.finetuning import card

FIGURES = {
    "topic": {"eng_Latn": 0.9, "tzm_Tfng": 0.5},
    "language": {"eng_Latn": 1.0, "tzm_Tfng": 0.9},
    "retrieval": {"tzm_Tfng": 0.25},
    "sentiment": {"english": 0.71, "hau": 0.4},
    "nli": {"id": 0.6},
}


def test_a_hold_says_mean_spread_and_whether_it_is_met() -> None:
    """The mean over all languages is below its bound, that over XLM-R's languages is above."""
    rows = card.held(FIGURES)
    assert "| topic, accuracy over all languages | 70.0 | 50.0 to 90.0 | 74.0 | no |" in rows
    assert "| topic, accuracy over XLM-R's languages | 90.0 |  | 82.0 | yes |" in rows
    assert "| NLI, macro F1 in Japanese (no Japanese training) | not judged | | 55.0 | no |" in rows


def test_sentiment_is_told_apart_by_the_names_of_languages() -> None:
    """NusaX spells its languages out, AfriSenti has codes."""
    rows = "\n".join(card.held(FIGURES))
    assert "| sentiment, macro F1 over NusaX | 71.0 |  | 70.0 | yes |" in rows
    assert "| sentiment, macro F1 over AfriSenti | 40.0 |  | 52.0 | no |" in rows


def test_the_card_has_every_table() -> None:
    """No place for a table is left."""
    made = card.text(FIGURES, {"steps": 7})
    assert "<!--" not in made
    assert "- steps: 7" in made
    assert "| tzm_Tfng |  | 50.0 | 90.0 | 25.0 |" in made
