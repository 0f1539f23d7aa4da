"""Shows the product at work: one request of every task that the models can do, and documents as a batch job.

It calls the API only. Must not know what runs behind it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from functions.pipeline.route import answers_unnamed
from glossa.client.jobs.status import END_STATES
from glossa.short_answers import short_answer
from local.client import ApiClient, LocalApiError
from local.workspace import write_json
from shared.catalog import Catalog
from shared.error_text import count

SAMPLES = Path(__file__).parent / "samples"
BATCH_TASK = "text-classification"
JOB_LIMIT_S = 600.0
POLL_S = 0.5
N_PARAGRAPHS = 12  # of each document: a whole one takes a small machine long
TEXT_COLUMNS = 44
MASK = "<mask>"  # in the samples; models of other families have another one


def requests(catalog: Catalog) -> list[dict[str, Any]]:
    """Return the sample requests that the catalog can answer, one for each task.

    Each has its `task`, `inputs` and, if it needs some, `parameters`. The place of a mask has the mask of the model.
    """
    able = answers_unnamed(catalog)
    lines = (SAMPLES / "tasks.jsonl").read_text(encoding="utf-8").splitlines()
    found = [sample for line in lines if (sample := json.loads(line))["task"] in able]
    for sample in found:
        if isinstance(sample["inputs"], str):
            mask = catalog.model(able[sample["task"]][0]).mask_token or MASK
            sample["inputs"] = sample["inputs"].replace(MASK, mask)
    return found


def show_requests(api: ApiClient, catalog: Catalog, console: Console) -> None:
    """Ask one request of every task; print a line for each: its text, its answer and the milliseconds it took."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("task", no_wrap=True)
    table.add_column("text", no_wrap=True, overflow="ellipsis", max_width=TEXT_COLUMNS)
    table.add_column("answer", no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column("ms", justify="right")
    for sample in requests(catalog):
        table.add_row(*map(Text, _row(api, sample)))
    console.print(table)


def _row(api: ApiClient, sample: Mapping[str, Any]) -> tuple[str, str, str, str]:
    task, inputs = sample["task"], sample["inputs"]
    text = inputs if isinstance(inputs, str) else str(next(iter(inputs.values())))
    body = {name: value for name, value in sample.items() if name != "task"}
    try:
        answer = api.post(f"/v1/{task}", body)
    except LocalApiError as error:  # the others are shown all the same
        return task, text, str(error), ""
    [result] = answer.body["results"]
    first = result[:1] if task in {"text-classification", "fill-mask"} else result
    return task, text, short_answer(task, first), f"{sum(answer.timings_ms.values()):.0f}"


def run_batch(api: ApiClient, catalog: Catalog, console: Console, folder: Path) -> None:
    """Run the first paragraphs of the sample documents as one job; print what became of it in one line.

    The manifest and the results go to `folder`. Nothing is run when no model classifies texts.
    """
    if BATCH_TASK not in answers_unnamed(catalog):
        return
    started_s = time.monotonic()
    documents = first_paragraphs()
    body = {"task": BATCH_TASK, "format": {"text": "lines"}, "files": [*documents]}
    job = api.post("/v1/jobs", body).body
    for name, target in zip(documents, job["uploads"], strict=True):
        api.upload(target, name, documents[name])
    api.post(job["start"])
    status = follow(api, job["job"], console)
    results = api.get(f"/v1/jobs/{job['job']}/results").body
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "manifest.json", json.loads(api.fetch(results["manifest"]["url"])))
    (folder / "results.jsonl").write_bytes(b"".join(api.fetch(part["url"]) for part in results["parts"]))
    counts = status["counts"]
    console.print(
        f"batch job: {count(len(documents), 'document')}, {count(counts['records'], 'record')}, "
        f"{counts['succeeded']:,} answered, {counts['failed']:,} failed, {time.monotonic() - started_s:.1f} s",
        highlight=False,
    )


def first_paragraphs() -> dict[str, bytes]:
    """Return the beginning of each sample document by its name. A paragraph is a line, and a record of the job."""
    found = {path.name: path.read_bytes() for path in sorted((SAMPLES / "documents").glob("*.txt"))}
    return {name: b"".join(text.splitlines(keepends=True)[:N_PARAGRAPHS]) for name, text in found.items()}


def follow(api: ApiClient, job_id: str, console: Console) -> dict[str, Any]:
    """Show a progress bar until the job has ended; return its last status. Raises TimeoutError after 600 s."""
    ends_at = time.monotonic() + JOB_LIMIT_S
    texts = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}/s")
    with Progress(*texts, TimeRemainingColumn(), console=console, transient=True) as progress:
        bar = progress.add_task("batch job", total=None, rate="-")
        while time.monotonic() < ends_at:
            status = api.get(f"/v1/jobs/{job_id}").body
            counts = status["counts"]
            progress.update(
                bar,
                total=counts["records"] or None,
                completed=counts["succeeded"] + counts["failed"],
                rate=f"{status['records_per_s']:.0f}",
            )
            if status["state"] in END_STATES:
                return status
            time.sleep(POLL_S)
    raise TimeoutError(f"job {job_id} has not ended after {JOB_LIMIT_S:.0f} s; see the logs")
