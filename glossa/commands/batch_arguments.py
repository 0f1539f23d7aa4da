"""The arguments of `glossa batch`. Must not know what its commands do."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from glossa.client.jobs_client import BatchClient
from glossa.commands import batch
from glossa.commands.run import parse_pairs

_JOB = re.compile(r"[0-9a-f]{32}")
Commands = argparse._SubParsersAction  # noqa: SLF001 - argparse has no public name for it


def add_batch(commands: Commands[argparse.ArgumentParser], open_client: batch.Open = BatchClient) -> None:
    """Add `batch` and its commands."""
    text = "submit, watch and read batch jobs over the jobs API"
    inner = commands.add_parser("batch", help=text, description=text).add_subparsers(required=True, metavar="COMMAND")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--url", metavar="URL", help="the API, its stage included; default: GLOSSA_API_URL")
    of_job = argparse.ArgumentParser(add_help=False, parents=[shared])
    of_job.add_argument("job", metavar="JOB", type=_job)
    plain = (
        ("status", "print a job's status as JSON", batch.status),
        ("watch", "show a job's progress until it has ended; exit code 1 unless all succeeded", batch.watched),
        ("cancel", "stop a job", batch.cancel),
        ("delete", "remove a job, its uploads and its results", batch.delete),
    )
    _add_submit(inner, shared, open_client)
    for name, said, act in plain:
        inner.add_parser(name, help=said, description=said, parents=[of_job]).set_defaults(
            command=batch.command(act, open_client)
        )
    _add_rest(inner, shared, of_job, open_client)


def _add_rest(
    inner: Commands[argparse.ArgumentParser],
    shared: argparse.ArgumentParser,
    of_job: argparse.ArgumentParser,
    open_client: batch.Open,
) -> None:
    said = "write a job's rows, in order, each part checked against its digest"
    results = inner.add_parser("results", help=said, description=said, parents=[of_job])
    results.add_argument("--out", type=Path, metavar="FILE", help="default: standard output")
    results.add_argument("--errors", action="store_true", help="only the error rows, as JSON lines")
    results.set_defaults(command=batch.command(batch.results, open_client))
    said = "answer again what failed of an ended job"
    redrive = inner.add_parser("redrive", help=said, description=said, parents=[of_job])
    redrive.add_argument("--watch", action="store_true", help="then show its progress")
    redrive.set_defaults(command=batch.command(batch.redrive, open_client))
    said = "list jobs, the newest first"
    listed = inner.add_parser("list", help=said, description=said, parents=[shared])
    listed.set_defaults(command=batch.command(batch.listed, open_client))


def _add_submit(
    inner: Commands[argparse.ArgumentParser], shared: argparse.ArgumentParser, open_client: batch.Open
) -> None:
    said = "upload files, or name a prefix, start a job over them and print its id"
    submit = inner.add_parser("submit", help=said, description=said, parents=[shared])
    submit.add_argument("files", nargs="*", metavar="FILE", help=".txt .jsonl .csv .tsv, each also .gz")
    submit.add_argument("--prefix", metavar="PREFIX", help="instead of files: all objects under your data/PREFIX")
    submit.add_argument("--task", required=True, metavar="TASK")
    submit.add_argument("--model", metavar="MODEL[:HEAD]", help="default: the default model, and its default head")
    submit.add_argument(
        "--param", action="append", default=[], metavar="K=V", help="a parameter of the task; repeatable"
    )
    submit.add_argument("--lines", action="store_true", help="a .txt is a record a line, not one document")
    submit.add_argument("--text-field", metavar="NAME", help="field or column of the text; default: text")
    submit.add_argument("--id-field", metavar="NAME", help="field or column of your own id; default: id")
    submit.add_argument(
        "--delimiter", metavar="CHARACTER", help="of tables, one of , ; | or a tab; default: the extension's own"
    )
    submit.add_argument("--no-quotes", action="store_true", help="in tables a quote is a character like all others")
    submit.add_argument("--output", choices=("jsonl", "csv", "jsonl.gz"), help="default: jsonl")
    submit.add_argument("--key", metavar="TEXT", help="an Idempotency-Key: the same command again finds the same job")
    submit.add_argument("--webhook", metavar="URL", help="called at the end, signed with GLOSSA_WEBHOOK_SECRET")
    submit.add_argument("--watch", action="store_true", help="then show its progress")

    def run(asked: argparse.Namespace) -> int:
        asked.parameters = parse_pairs(asked.param)
        return batch.command(batch.submit, open_client)(asked)

    submit.set_defaults(command=run)


def _job(text: str) -> str:
    if not _JOB.fullmatch(text):
        raise argparse.ArgumentTypeError(f"got {text[:80]!r}, expected the id of a job: 32 of 0-9 a-f")
    return text
