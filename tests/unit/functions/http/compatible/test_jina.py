"""Jina's embeddings: OpenAI's path with more fields."""

from __future__ import annotations

import pytest

from functions.http.compatible.jina import EmbeddingsBody
from shared.catalog import Head
from tests.unit.functions.http.compatible.asking import ask, own
from tests.unit.functions.http.world import tokenizer

PATH = "/v1/embeddings"


@pytest.mark.parametrize("field", ["embedding_type", "encoding_type"])
@pytest.mark.parametrize("kind", ["binary", "ubinary"])
def test_vectors_come_in_bits(field: str, kind: str) -> None:
    """They are those of our route, under the name of Jina, and that of LlamaIndex."""
    _, answer, _ = ask(PATH, {"input": ["The river", "rises"], field: kind})
    wanted = own("feature-extraction", ["The river", "rises"], precision=kind)
    assert [each["embedding"] for each in answer["data"]] == [each["vectors"] for each in wanted]


def test_a_task_takes_the_declared_prompt_of_that_name() -> None:
    """Without a declared one there is none; without a task the head's default stands before the texts."""
    head = Head(task="feature-extraction", prompts={"query": "q: ", "passage": "p: "}, default_prompt="query")
    tasks = "retrieval.query", "retrieval.passage", "separation", "text-matching", None
    found = [EmbeddingsBody.model_validate({"input": "a", "task": task}).prompt_name(head) for task in tasks]
    assert found == ["query", "passage", "", "", None]


def test_a_long_text_keeps_its_first_window_on_request() -> None:
    """`truncate` does what `truncation` does on our route."""
    text = tokenizer().decode(list(tokenizer().encode("The river rises. " * 20).ids))
    _, answer, _ = ask(PATH, {"input": text, "truncate": True})
    assert [each["embedding"] for each in answer["data"]] == own(
        "feature-extraction", [text], normalize=True, truncation=True
    )


@pytest.mark.parametrize(
    "field", [{"late_chunking": True}, {"normalized": False}, {"task": "poetry"}, {"embedding_type": "int8"}]
)
def test_what_has_no_effect_here_is_refused(field: dict[str, object]) -> None:
    """The error is in OpenAI's form, as on the whole path."""
    status, answer, _ = ask(PATH, {"input": "a", **field})
    assert (status, answer["error"]["type"]) == (400, "invalid_request_error")


def test_fields_of_null_are_left_out() -> None:
    """Clients send null for what their user did not choose, also by names that are not known here."""
    assert ask(PATH, {"input": "a", "task": None, "late_chunking": None, "strange": None})[0] == 200
    assert ask(PATH, {"input": "a", "strange": 1})[0] == 400
