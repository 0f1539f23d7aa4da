"""The demonstration has a request for each task, and a line for its answer."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from functions.tasks.registry import TASK_NAMES
from local import demo
from local.client import ApiClient, JsonAnswer
from local.workspace import ROOT
from shared.catalog import load_catalog
from tests.unit.functions.http.world import catalog, make, post


class InProcess(ApiClient):
    """Answers by the handler of the function in this process, over a replica that computes with ids."""

    def post(self, path: str, body: object = None, headers: object = None) -> JsonAnswer:
        """Answer as the API does."""
        del headers
        assert isinstance(body, dict)
        status, answer, _ = post(make(), path.removeprefix("/v1/"), body)
        assert status == 200, answer
        return JsonAnswer(answer, {})


def test_every_task_has_a_request_and_a_line() -> None:
    """So has every task that the shipped model can do."""
    assert [task for task, _ in demo.asked(TASK_NAMES)] == list(demo.ANSWERED)
    assert set(demo.ANSWERED) == set(TASK_NAMES)
    assert load_catalog(ROOT / "catalog.toml").model("mini").tasks <= set(demo.ANSWERED)


def test_a_request_of_each_task_is_shown() -> None:
    """The table has task, inputs and answer; a task that is not wanted is left out."""
    out = io.StringIO()
    tasks = catalog().model("mini").tasks - {"rerank"}
    demo.show_tasks(InProcess(""), Console(file=out, width=160), tasks)
    text = out.getvalue()
    assert all(task in text for task in tasks)
    assert "rerank" not in text
    assert "4 numbers: " in text


@pytest.mark.parametrize("task", ["sentence-similarity", "question-answering"])
def test_inputs_are_shown_as_texts(task: str) -> None:
    """Each text of an input with several has a line."""
    [(_, body)] = demo.asked([task])
    assert "{" not in demo._plain(body["inputs"])


def test_the_job_takes_the_beginning_of_each_document() -> None:
    """All languages are there, and no text is cut."""
    documents = demo.first_paragraphs()
    assert len(documents) == len(list((demo.SAMPLES / "documents").glob("*.txt")))
    for name, text in documents.items():
        assert len(text.splitlines()) == demo.N_PARAGRAPHS
        assert (demo.SAMPLES / "documents" / name).read_bytes().startswith(text)
        assert text.endswith(b"\n")
