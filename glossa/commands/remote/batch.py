"""`glossa batch`: submits, watches, reads, cancels, redrives and deletes batch jobs over the jobs API.

What programs read (ids, JSON, rows) goes to standard output. What people read goes to standard error.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from glossa.client import Client
from glossa.client.jobs.status import JobStatus
from glossa.commands.remote.batch_results import print_unreadable, write_results
from glossa.commands.remote.batch_submission import spec_of
from glossa.commands.remote.options import F, JobId, examples, model_option, parameters_option, url_option
from glossa.commands.remote.progress import watch
from glossa.commands.remote.settings import api_address

DONE, SOME_FAILED = 0, 1
OpenClient = Callable[[str], Client]  # from the address of the API


@click.group("batch", help="Submit, watch and read batch jobs over the jobs API.")
def batch_group() -> None:
    """Hold the commands of batch jobs. A test may pass another OpenClient as click's `obj`."""


def _job_argument(command: F) -> F:
    return click.argument("job", metavar="JOB", type=JobId())(url_option(command))


@batch_group.command(
    "submit",
    help="Start a job over files or a prefix. Uploads the files and prints the job's id.",
    epilog=examples(
        "glossa batch submit news.jsonl --task text-classification --watch",
        "glossa batch submit *.txt --task token-classification --lines --output csv",
        "glossa batch submit --prefix 2026/11/ --task feature-extraction --url https://api.example.com/live",
    ),
)
@click.argument("files", nargs=-1, metavar="[FILE]...")
@url_option
@click.option("--prefix", metavar="PREFIX", help="Instead of files: all objects under your data/PREFIX.")
@click.option("--task", required=True, metavar="TASK")
@model_option
@parameters_option
@click.option("--lines", is_flag=True, help="Each line of a .txt is a record; without this a .txt is one document.")
@click.option("--text-field", metavar="NAME", help="Field or column of the text. Default: text.")
@click.option("--id-field", metavar="NAME", help="Field or column of your own id. Default: id.")
@click.option(
    "--delimiter", metavar="CHARACTER", help="Of tables, one of , ; | or a tab. Default: by the file's extension."
)
@click.option("--no-quotes", is_flag=True, help="In tables a quote is a character like all others.")
@click.option("--output", type=click.Choice(["jsonl", "csv", "jsonl.gz"]), help="Default: jsonl.")
@click.option("--key", metavar="TEXT", help="An Idempotency-Key: while the job goes on, the same command finds it.")
@click.option("--webhook", metavar="URL", help="Called at the end, signed with GLOSSA_WEBHOOK_SECRET.")
@click.option("--watch", "watches", is_flag=True, help="Then show its progress.")
def submit_command(*, url: str | None, key: str | None, watches: bool, **given: Any) -> int:
    """Make and start a job, print its id; return the exit code. Its other options are those of `spec_of`."""
    client = _client(url)
    job = client.jobs.submit(spec_of(**given), key=key)
    print(job.id, flush=True)
    return _watch(client, job.id) if watches else DONE


@batch_group.command(
    "status",
    help="Print a job's status as JSON.",
    epilog=examples("glossa batch status 0123456789abcdef0123456789abcdef"),
)
@_job_argument
def status_command(*, url: str | None, job: str) -> int:
    """Run the command; return its exit code."""
    print(json.dumps(_client(url).call("GET", f"/v1/jobs/{job}"), ensure_ascii=False, indent=2))
    return DONE


@batch_group.command(
    "watch",
    help="Show a job's progress until it has ended. The exit code is 1 unless all succeeded.",
    epilog=examples("glossa batch watch 0123456789abcdef0123456789abcdef"),
)
@_job_argument
def watch_command(*, url: str | None, job: str) -> int:
    """Run the command; return its exit code."""
    return _watch(_client(url), job)


@batch_group.command(
    "cancel", help="Stop a job.", epilog=examples("glossa batch cancel 0123456789abcdef0123456789abcdef")
)
@_job_argument
def cancel_command(*, url: str | None, job: str) -> int:
    """Run the command; return its exit code."""
    print(_client(url).jobs.get(job).cancel())
    return DONE


@batch_group.command(
    "delete",
    help="Remove a job, its uploads and its results.",
    epilog=examples("glossa batch delete 0123456789abcdef0123456789abcdef"),
)
@_job_argument
def delete_command(*, url: str | None, job: str) -> int:
    """Run the command; return its exit code."""
    _client(url).jobs.get(job).delete()
    print("deleted")
    return DONE


@batch_group.command(
    "results",
    help="Write a job's rows, in order. Each part is checked against its digest.",
    epilog=examples(
        "glossa batch results 0123456789abcdef0123456789abcdef --out results.jsonl",
        "glossa batch results 0123456789abcdef0123456789abcdef --errors",
    ),
)
@_job_argument
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Default: standard output.")
@click.option("--errors", is_flag=True, help="Only the error rows, as JSON lines.")
@click.option("--raw", is_flag=True, help="CSV without the ' that keeps a spreadsheet from running cells as formulas.")
def results_command(*, url: str | None, job: str, out: Path | None, errors: bool, raw: bool) -> int:
    """Run the command; return its exit code."""
    write_results(_client(url), job, out, only_errors=errors, raw=raw)
    return DONE


@batch_group.command(
    "redrive",
    help="Answer again what failed in an ended job.",
    epilog=examples("glossa batch redrive 0123456789abcdef0123456789abcdef --watch"),
)
@_job_argument
@click.option("--watch", "watches", is_flag=True, help="Then show its progress.")
def redrive_command(*, url: str | None, job: str, watches: bool) -> int:
    """Run the command; return its exit code."""
    client = _client(url)
    answer = client.call("POST", f"/v1/jobs/{job}/redrive", {})
    print(f"{answer['state']} generation {answer['generation']}" + ("" if answer["begun"] else ", begun before"))
    return _watch(client, job) if watches else DONE


@batch_group.command(
    "list",
    help="List jobs, the newest first.",
    epilog=examples("glossa batch list", "glossa batch list --url https://api.example.com/live"),
)
@url_option
def list_command(*, url: str | None) -> int:
    """Run the command; return its exit code."""
    for job in _client(url).jobs.list():
        print(f"{job.job}  {job.created_at}  {job.state:<19}  {job.task}", flush=True)
    return DONE


def _client(url: str | None) -> Client:
    """Return a client for the address that --url or the environment names. Raises ValueError when it is no URL."""
    open_client: OpenClient = click.get_current_context().obj or Client
    return open_client(api_address(url))


def _watch(client: Client, job: str) -> int:
    shown: JobStatus = watch(client.jobs.get(job).status, sys.stderr, time.sleep)
    if not (shown.unreadable_inputs and print_unreadable(client, job)) and shown.error is not None:
        print(f"glossa: {shown.error.detail}", file=sys.stderr)
    return DONE if shown.succeeded_wholly else SOME_FAILED
