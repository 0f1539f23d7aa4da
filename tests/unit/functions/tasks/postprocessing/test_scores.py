"""Properties of softmax, sigmoid, mean and unit vectors, for all finite numbers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.tasks.postprocessing.scores import mean, sigmoid, softmax, unit

vectors = st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=12)


@given(logits=vectors)
def test_softmax_is_a_distribution_in_the_order_of_its_logits(logits: list[float]) -> None:
    """Probabilities sum to one and have the order of the logits, however large these are."""
    found = softmax(logits)
    assert math.fsum(found) == pytest.approx(1)
    assert all(found[i] <= found[j] for i in range(len(logits)) for j in range(len(logits)) if logits[i] <= logits[j])


@given(logits=vectors)
def test_sigmoid_is_symmetric(logits: list[float]) -> None:
    """The probabilities of a logit and of its opposite sum to one, however large the logit is."""
    opposite = sigmoid([-x for x in logits])
    assert all(a + b == pytest.approx(1) for a, b in zip(sigmoid(logits), opposite, strict=True))


@given(vector=vectors, weight=st.floats(0.5, 100))
def test_a_mean_of_the_same_is_the_same(vector: list[float], weight: float) -> None:
    """The mean of copies of a vector is that vector, whatever the weights are."""
    assert mean([vector, vector], [weight, 1.0]) == pytest.approx(vector, abs=1e-6)


@given(vector=vectors)
def test_a_unit_vector_has_length_one(vector: list[float]) -> None:
    """A vector is scaled to length one. A zero vector stays zero."""
    length = math.sqrt(sum(x * x for x in unit(vector)))
    assert length == pytest.approx(1) or not any(vector)
