"""Which model may stand in for another."""

from __future__ import annotations

from typing import Any

import pytest

from shared.catalog import Catalog

TOPIC = {"task": "text-classification", "prefix": "classifier", "labels": ["art", "sport"]}
VECTORS = {"task": "feature-extraction"}


def _catalog(stand_in: str, heads: dict[str, Any], others: dict[str, Any]) -> Catalog:
    """Make a catalog of a large model with a stand-in, and a small one."""
    facts = {
        "family": "xlm-roberta", "checkpoint": "nowhere", "weights_sha256": "a" * 64, "tokenizer_sha256": "b" * 64,
        "max_tokens": 512, "vocab_size": 32_000,
    }  # fmt: skip
    large = {**facts, "name": "large", "stand_in": stand_in, "heads": heads}
    return Catalog.model_validate(
        {"default_model": "large", "models": {"large": large, "small": {**facts, "name": "small", "heads": others}}}
    )


@pytest.mark.parametrize(
    ("heads", "others"),
    [({"topic": TOPIC}, {"topic": TOPIC, "more": TOPIC}), ({"topic": TOPIC, "embed": VECTORS}, {"topic": TOPIC})],
)
def test_a_model_whose_answers_mean_the_same_may_stand_in(heads: dict[str, Any], others: dict[str, Any]) -> None:
    """Every head is there with the same tasks and labels. Embedders do not count, since nothing stands in for them."""
    assert _catalog("small", heads, others).model("large").stand_in == "small"


@pytest.mark.parametrize(
    ("stand_in", "other", "message"),
    [
        ("tiny", TOPIC, r"model large: got stand_in 'tiny', expected one of \['small'\]"),
        ("large", TOPIC, "got stand_in 'large', expected one of"),
        ("small", TOPIC | {"labels": ["sport", "art"]}, "no head 'topic' of the same tasks and labels"),
        ("small", TOPIC | {"also": ["zero-shot-classification"]}, "no head 'topic' of the same tasks and labels"),
        ("small", TOPIC | {"problem_type": "multi_label_classification"}, "no head 'topic' of the same tasks"),
        ("small", {"task": "fill-mask", "prefix": "lm_head"}, "expected a model whose answers mean the same"),
    ],
)
def test_any_other_stand_in_is_refused(stand_in: str, other: dict[str, Any], message: str) -> None:
    """The error names the model, what it got, and what was expected."""
    with pytest.raises(ValueError, match=message):
        _catalog(stand_in, {"topic": TOPIC}, {"topic": other})


def test_a_stand_in_that_lacks_a_head_is_refused() -> None:
    """A caller may ask for any head of the model."""
    with pytest.raises(ValueError, match="no head 'topic'"):
        _catalog("small", {"topic": TOPIC}, {"other": TOPIC})
