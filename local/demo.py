"""Shows the product at work: real sentences as requests, a request of each task, and real documents as a batch job.

It calls the API only. Must not know what runs behind it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from glossa.client.jobs.status import END_STATES
from local.client import ApiClient
from shared.catalog import Catalog

SAMPLES = Path(__file__).parent / "samples"
JOB_LIMIT_S = 600.0
POLL_S = 0.5
HEADS = {"topic", "language", "entities"}  # of mini, which the demonstration asks
N_PARAGRAPHS = 12  # of each document: a whole one takes a small machine long
SHOWN_ITEMS = 2  # of each list in the manifest
SHOWN_NUMBERS = 3  # of a vector


def _scored(entry: Mapping[str, Any], *names: str) -> str:
    return " ".join(str(entry[name]) for name in names) + f" {entry['score']:.2f}"


def _numbers(values: Collection[float]) -> str:
    return "  ".join(f"{value:.2f}" for value in values)


Answered = Callable[[Any], str]  # makes a line of the answer to one input
ANSWERED: Mapping[str, Answered] = {
    "text-classification": lambda found: _scored(found[0], "label"),
    "token-classification": lambda found: "  ".join(_scored(entity, "entity_group", "word") for entity in found),
    "zero-shot-classification": lambda found: f"{found['labels'][0]} {found['scores'][0]:.2f}",
    "question-answering": lambda found: _scored(found, "answer"),
    "multiple-choice": lambda found: _scored(found[0], "choice"),
    "fill-mask": lambda found: "  ".join(_scored(guess, "token_str") for guess in found[:SHOWN_ITEMS]),
    "text-generation": lambda found: str(found[0]["generated_text"]),
    "feature-extraction": lambda found: f"{len(found)} numbers: {_numbers(found[:SHOWN_NUMBERS])} …",
    "sentence-similarity": _numbers,
    "rerank": lambda found: "  ".join(f"document {each['index'] + 1}: {each['score']:.2f}" for each in found),
}


def sentences() -> list[dict[str, str]]:
    """Return the sample sentences, each with `lang` (a code of FLORES-200) and `text`."""
    lines = (SAMPLES / "sentences.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def can_show(catalog: Catalog) -> bool:
    """Return whether a catalog has the model and the heads that the demonstration asks."""
    return "mini" in catalog.models and catalog.models["mini"].heads.keys() >= HEADS


def show_requests(api: ApiClient, console: Console) -> None:
    """Classify each sample sentence and tag its entities, one request each; print scores and times as a table."""
    table = Table(title="POST /v1/text-classification and /v1/token-classification", show_lines=False)
    table.caption = "ms: tokenize, route, queue, infer, assemble (from Server-Timing of the topic request)"
    for name in ("written in", "language found", "topic", "entities", "ms"):
        table.add_column(name)
    for sentence in sentences():
        table.add_row(*_row(api, sentence))
    console.print(table)


def _row(api: ApiClient, sentence: dict[str, str]) -> list[str]:
    text = sentence["text"]
    topic = api.post("/v1/text-classification", {"inputs": text, "model": "mini:topic"})
    language = api.post("/v1/text-classification", {"inputs": text, "model": "mini:language"})
    simple = {"aggregation_strategy": "simple"}
    tagged = api.post("/v1/token-classification", {"inputs": text, "model": "mini:entities", "parameters": simple})
    entities = "  ".join(f"{e['entity_group']} {e['word']} {e['score']:.2f}" for e in tagged.body["results"][0])
    stages = " ".join(f"{topic.timings_ms.get(s, 0):.1f}" for s in ("tokenize", "route", "queue", "infer", "assemble"))
    return [sentence["lang"], _top(language.body), _top(topic.body), entities or "-", stages]


def _top(body: dict[str, Any]) -> str:
    best = body["results"][0][0]
    return f"{best['label']} {best['score']:.2f}"


def show_tasks(api: ApiClient, console: Console, tasks: Collection[str]) -> None:
    """Ask mini one request for each of these tasks, and print question and answer as a table."""
    table = Table(title="one request of each task, POST /v1/<task>", show_lines=False)
    for name in ("task", "inputs", "answer"):
        table.add_column(name)
    for task, body in asked(tasks):
        found = api.post(f"/v1/{task}", body).body["results"][0]
        table.add_row(task, _plain(body["inputs"]), ANSWERED[task](found) or "-")
    console.print(table)


def asked(tasks: Collection[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield task and body of the sample requests for these tasks."""
    for line in (SAMPLES / "tasks.jsonl").read_text(encoding="utf-8").splitlines():
        sample = json.loads(line)
        if (task := sample.pop("task")) in tasks:
            yield task, {"model": "mini", **sample}


def _plain(value: Any) -> str:
    """Return the texts of an input, one a line."""
    if isinstance(value, dict | list):
        return "\n".join(_plain(each) for each in (value.values() if isinstance(value, dict) else value))
    return str(value)


def run_batch(api: ApiClient, console: Console) -> dict[str, Any]:
    """Run the first paragraphs of the sample documents as one job; show its progress and return its manifest."""
    documents = first_paragraphs()
    body = {"task": "text-classification", "model": "mini:topic", "format": {"text": "lines"}, "files": [*documents]}
    job = api.post("/v1/jobs", body).body
    for name, target in zip(documents, job["uploads"], strict=True):
        api.upload(target, name, documents[name])
    api.post(job["start"])
    console.print(f"job {job['job']}: {len(documents)} documents uploaded, job started")
    status = follow(api, job["job"], console)
    results = api.get(f"/v1/jobs/{job['job']}/results").body
    manifest: dict[str, Any] = json.loads(api.fetch(results["manifest"]["url"]))
    _show_manifest(status, manifest, console)
    _show_first_rows(api.fetch(results["parts"][0]["url"]), console)
    return manifest


def first_paragraphs() -> dict[str, bytes]:
    """Return the beginning of each sample document by its name. A paragraph is a line, and a record of the job."""
    found = {path.name: path.read_bytes() for path in sorted((SAMPLES / "documents").glob("*.txt"))}
    return {name: b"".join(text.splitlines(keepends=True)[:N_PARAGRAPHS]) for name, text in found.items()}


def follow(api: ApiClient, job_id: str, console: Console) -> dict[str, Any]:
    """Show a progress bar until the job has ended; return its last status. Raises TimeoutError after 600 s."""
    ends_at = time.monotonic() + JOB_LIMIT_S
    texts = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}/s")
    with Progress(*texts, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as progress:
        bar = progress.add_task("records", total=None, rate="-")
        while time.monotonic() < ends_at:
            status = api.get(f"/v1/jobs/{job_id}").body
            _draw(progress, bar, status)
            if status["state"] in END_STATES:
                return status
            time.sleep(POLL_S)
    raise TimeoutError(f"job {job_id} has not ended after {JOB_LIMIT_S:.0f} s; see the logs")


def _draw(progress: Progress, bar: TaskID, status: dict[str, Any]) -> None:
    counts = status["counts"]
    answered, rate = counts["succeeded"] + counts["failed"], f"{status['records_per_s']:.0f}"
    progress.update(
        bar, description=status["state"].lower(), total=counts["records"] or None, completed=answered, rate=rate
    )


def _show_manifest(status: dict[str, Any], manifest: dict[str, Any], console: Console) -> None:
    """Print the manifest with the first two of its inputs and of its parts."""
    console.print(f"job state {status['state']}; manifest:")
    lists = {name: manifest.get(name, []) for name in ("inputs", "parts")}
    console.print_json(json.dumps({**manifest, **{name: items[:SHOWN_ITEMS] for name, items in lists.items()}}))
    for name, items in lists.items():
        if (more := len(items) - SHOWN_ITEMS) > 0:
            console.print(f"(and {more} more {name})")


def _show_first_rows(part: bytes, console: Console) -> None:
    console.print("first results:")
    for line in part.decode("utf-8").splitlines()[:5]:
        console.print(line, soft_wrap=True, highlight=False, markup=False)
