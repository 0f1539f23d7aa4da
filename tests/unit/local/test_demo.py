"""The demonstration asks one request of every task that the models can do, and shows each answer on a line."""

from __future__ import annotations

import io
import json

from rich.console import Console

from functions.replica.fake import SentRequest
from functions.replica.transport import Reply
from functions.tasks.parse import parse_input, parse_parameters
from functions.tasks.registry import TASK_NAMES
from local.client import ApiClient
from local.demo import N_PARAGRAPHS, SAMPLES, first_paragraphs, requests, show_requests
from local.workspace import ROOT
from shared.catalog import Catalog, load_catalog
from tests.loopback import serving

CATALOG = load_catalog(ROOT / "catalog.toml")
RESULTS = {
    "text-classification": [{"label": "health", "score": 0.94}, {"label": "travel", "score": 0.02}],
    "token-classification": [{"entity_group": "PER", "word": "Angela Merkel", "score": 0.9}],
    "fill-mask": [{"token_str": "capital", "score": 0.5}],
    "feature-extraction": [0.25] * 256,
    "sentence-similarity": [0.9, 0.1],
}


def test_there_is_one_sample_of_every_task() -> None:
    """Each sample is a request that the API can read."""
    samples = [json.loads(line) for line in (SAMPLES / "tasks.jsonl").read_text(encoding="utf-8").splitlines()]
    assert sorted(sample["task"] for sample in samples) == sorted(TASK_NAMES)
    for sample in samples:
        parse_parameters(sample["task"], sample.get("parameters"))
        parse_input(sample["inputs"], "inputs", sample["task"])


def with_mini(**changes: object) -> Catalog:
    """Return the catalog with another mini."""
    return CATALOG.model_copy(update={"models": {"mini": CATALOG.models["mini"].model_copy(update=changes)}})


def test_only_what_the_catalog_can_do_is_asked() -> None:
    """A model without a head for a task is not asked it, and the mask is that of the model."""
    embed = {"embed": CATALOG.models["mini"].heads["embed"]}
    assert {sample["task"] for sample in requests(with_mini(heads=embed))} == {
        "feature-extraction",
        "sentence-similarity",
        "rerank",
    }
    [mask] = [each for each in requests(with_mini(mask_token="<special1>")) if each["task"] == "fill-mask"]
    assert mask["inputs"] == "Paris is the capital of <special1>."


def test_every_answer_is_one_line() -> None:
    """A line has the task, the text, the answer in a few words and the time; an error does not end the others."""

    def respond(request: SentRequest) -> Reply:
        task = request.path.removeprefix("/v1/")
        if task not in RESULTS:
            return Reply(503, {}, b'{"detail": "the model is loading"}')
        return Reply(
            200, {"server-timing": "route;dur=1, infer;dur=2.4"}, json.dumps({"results": [RESULTS[task]]}).encode()
        )

    out = io.StringIO()
    with serving(respond) as (url, _):
        show_requests(ApiClient(url), CATALOG, Console(file=out, width=120))
    rows = {line.split()[0]: line for line in out.getvalue().splitlines()}
    assert rows["text-classification"].split()[-3:] == ["health", "0.94", "3"]
    assert "PER Angela Merkel 0.90" in rows["token-classification"]
    assert "capital 0.50" in rows["fill-mask"]
    assert "256 numbers: 0.250, 0.250, 0.250, …" in rows["feature-extraction"]
    assert "503 the model is loading" in rows["rerank"]
    assert all(len(line) <= 120 for line in out.getvalue().splitlines())


def test_the_job_takes_the_beginning_of_each_document() -> None:
    """All languages are there, and no text is cut."""
    documents = first_paragraphs()
    assert len(documents) == len(list((SAMPLES / "documents").glob("*.txt")))
    for name, text in documents.items():
        assert len(text.splitlines()) == N_PARAGRAPHS
        assert (SAMPLES / "documents" / name).read_bytes().startswith(text)
        assert text.endswith(b"\n")
