"""No text makes a route fail: it is answered, or refused with a 4xx that says why. `make conformance` sends more."""

from __future__ import annotations

from tests.contract.__main__ import failures
from tests.contract.hostile_requests import of_others, of_tasks
from tests.contract.hostile_texts import WRITTEN, hostile_texts
from tests.contract.whole_api import WholeApi

N_TEXTS = 70


def test_a_sample_of_hostile_texts_is_no_fault_of_ours() -> None:
    """Each goes into every place of every task, of the tokenizers and of the other routes' examples."""
    found = list(failures(WholeApi(), hostile_texts(N_TEXTS)))
    assert found == []


def test_the_same_number_gives_the_same_texts() -> None:
    """All written ones are among them, and the others differ from each other."""
    texts = list(hostile_texts(N_TEXTS))
    assert texts == list(hostile_texts(N_TEXTS))
    assert texts[: len(WRITTEN)] == list(WRITTEN)
    assert len(set(texts)) == N_TEXTS


def test_every_place_of_a_body_gets_the_text() -> None:
    """A text of its own is found in the body of every request."""
    for path, body in (*of_tasks("needle"), *of_others("needle")):
        assert "needle" in str(body), path
