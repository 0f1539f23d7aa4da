"""`glossa batch`: jobs submitted, watched, read, cancelled, redriven and deleted over the jobs API.

Prints what programs read (ids, JSON, rows) on standard output, and what people read beside it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from functions.jobs.state.keys import MAX_KEY_BYTES, name_of
from glossa.client.jobs_client import BatchClient
from glossa.commands.progress import watch
from shared.error_text import count, visible
from shared.errors import GlossaError, Unprocessable
from shared.settings import Settings, read_settings

HELD_BYTES = 8 << 20  # of a part in memory, while its digest is not checked
SHOWN_FILES = 10  # of those that could not be read
DONE, SOME_FAILED = 0, 1
MIN_SECRET_CHARS = 16


class BatchSettings(Settings):
    """GLOSSA_API_URL is where the jobs API is, unless --url says; GLOSSA_WEBHOOK_SECRET signs what a webhook gets."""

    api_url: str = ""
    webhook_secret: str = ""


Open = Callable[[str], BatchClient]


def submit(asked: argparse.Namespace, client: BatchClient) -> int:
    """Make a job of files or a prefix, start it, print its id."""
    files = {Path(name).name: Path(name) for name in asked.files}
    if len(files) != len(asked.files):
        raise ValueError(f"got {len(asked.files)} files of {len(files)} names, expected a name of its own for each")
    for path in files.values():
        if not path.is_file():
            raise ValueError(f"got {str(path)!r}, expected a file")
    made = client.submit(_body(asked, list(files)), files, asked.key)
    print(made["job"], flush=True)
    return _watched(client, made["job"]) if asked.watch else DONE


def status(asked: argparse.Namespace, client: BatchClient) -> int:
    """Print a job's status as JSON."""
    print(json.dumps(client.status(asked.job), ensure_ascii=False, indent=2))
    return DONE


def watched(asked: argparse.Namespace, client: BatchClient) -> int:
    """Show a job until it has ended."""
    return _watched(client, asked.job)


def listed(asked: argparse.Namespace, client: BatchClient) -> int:  # noqa: ARG001 - as every command
    """Print the jobs, the newest first, a line each."""
    for job in client.pages("/v1/jobs", "jobs"):
        print(f"{job['job']}  {job['created_at']}  {job['state']:<19}  {job['task']}", flush=True)
    return DONE


def results(asked: argparse.Namespace, client: BatchClient) -> int:
    """Write the rows of an ended job, in order, each part checked against its digest; or its error rows alone."""
    path = f"/v1/jobs/{asked.job}"
    page: dict[str, Any] | None = None
    with _out(asked.out) as out:
        if asked.errors:
            for row in client.pages(f"{path}/errors", "errors"):
                out.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
        else:
            page = _write_parts(client, f"{path}/results", out)
    _say_unreadable(client, asked.job, page)
    return DONE


def cancel(asked: argparse.Namespace, client: BatchClient) -> int:
    """Stop a job."""
    print(client.call("POST", f"/v1/jobs/{asked.job}/cancel")["state"])
    return DONE


def redrive(asked: argparse.Namespace, client: BatchClient) -> int:
    """Have what failed answered again."""
    answer = client.call("POST", f"/v1/jobs/{asked.job}/redrive", {})
    print(f"{answer['state']} generation {answer['generation']}" + ("" if answer["begun"] else ", begun before"))
    return _watched(client, asked.job) if asked.watch else DONE


def delete(asked: argparse.Namespace, client: BatchClient) -> int:
    """Remove a job, its uploads and its results."""
    client.call("DELETE", f"/v1/jobs/{asked.job}")
    print("deleted")
    return DONE


def command(
    act: Callable[[argparse.Namespace, BatchClient], int], open_client: Open = BatchClient
) -> Callable[[argparse.Namespace], int]:
    """Return a command that opens the API where the arguments or the environment say it is."""

    def run(asked: argparse.Namespace) -> int:
        url = asked.url or read_settings(BatchSettings).api_url
        if not url.startswith(("https://", "http://")):
            raise ValueError(f"got --url {url!r}, expected the address of the API, there or in GLOSSA_API_URL")
        return act(asked, open_client(url))

    return run


def _body(asked: argparse.Namespace, names: list[str]) -> dict[str, Any]:
    if bool(names) == (asked.prefix is not None):
        raise ValueError("got files and a prefix, or neither; expected one of them")
    form = {
        "text": "lines" if asked.lines else None, "text_field": asked.text_field, "id_field": asked.id_field,
        "delimiter": asked.delimiter, "quoted": False if asked.no_quotes else None,
    }  # fmt: skip
    body: dict[str, Any] = {"task": asked.task, "format": {k: v for k, v in form.items() if v is not None}}
    body |= {"files": names} if names else {"prefix": asked.prefix}
    given = {"model": asked.model, "output": asked.output, "parameters": asked.parameters or None}
    body |= {name: value for name, value in given.items() if value is not None}
    return body | ({"webhook": _webhook(asked.webhook)} if asked.webhook else {})


def _webhook(url: str) -> dict[str, str]:
    secret = read_settings(BatchSettings).webhook_secret  # not an argument: those are seen by every process
    if len(secret) < MIN_SECRET_CHARS:
        raise Unprocessable(
            f"got GLOSSA_WEBHOOK_SECRET of {len(secret)} characters, expected {MIN_SECRET_CHARS} or more"
        )
    return {"url": url, "secret": secret}


def _watched(client: BatchClient, job: str) -> int:
    shown: Mapping[str, Any] = watch(lambda: client.status(job), sys.stderr, time.sleep)
    if not (shown["counts"]["unreadable_inputs"] and _say_unreadable(client, job)) and "error" in shown:
        print(f"glossa: {shown['error']['detail']}", file=sys.stderr)
    return DONE if shown["state"] == "SUCCEEDED" else SOME_FAILED


def _say_unreadable(client: BatchClient, job: str, page: Mapping[str, Any] | None = None) -> bool:
    """Name the files of an ended job that could not be read, and why, beside the rows; whether any were named.

    `page` is one of the job's results, when it is at hand. Never raises for a request that fails: what was done
    before stands without the names.
    """
    try:
        found = _unreadable(client, page or client.call("GET", f"/v1/jobs/{job}/results", query={"page_size": "1"}))
    except Exception as error:  # noqa: BLE001 - no fault of these requests may cost the rows or the job's own error
        said = error.message if isinstance(error, GlossaError) else repr(error)
        rest = "the job's manifest names them"
        print(f"glossa: could not read which files were unreadable, if any: {said}; {rest}", file=sys.stderr)
        return False
    for name, detail in found[:SHOWN_FILES]:
        print(f"glossa: {visible(name, MAX_KEY_BYTES)}: {detail}", file=sys.stderr)
    if (more := len(found) - SHOWN_FILES) > 0:
        print(f"glossa: and {count(more, 'more file')} that could not be read; see the job's manifest", file=sys.stderr)
    return bool(found)


def _unreadable(client: BatchClient, page: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return name and fault of each file that could not be read; only if any is the manifest read, of up to 65 MB."""
    if not page["counts"]["unreadable_inputs"] or page["manifest"] is None:
        return []
    inputs = json.loads(b"".join(client.download(page["manifest"])))["inputs"]
    return [(name_of(each["key"]), each["error"]["detail"]) for each in inputs if "error" in each]


def _write_parts(client: BatchClient, path: str, out: BinaryIO) -> dict[str, Any]:
    """Write the rows of all parts; return the last page that names them."""
    page: dict[str, Any] = {}
    first = True
    for page in client.walk(path):
        for part in page["parts"]:
            out.writelines(_checked(client, part, header=first or not part["key"].endswith(".csv")))
            first = False
    return page


def _checked(client: BatchClient, part: Mapping[str, Any], *, header: bool) -> Iterator[bytes]:
    """Yield a part once its digest was checked, of a table that goes on without the header."""
    with tempfile.SpooledTemporaryFile(HELD_BYTES) as held:
        for chunk in client.download(part):
            held.write(chunk)
        held.seek(0)
        if not header:
            held.readline()
        while chunk := held.read(1 << 20):
            yield chunk


class _out:  # noqa: N801 - used as a function
    """Standard output, or a file that is there under its name only when it is whole."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: BinaryIO = sys.stdout.buffer

    def __enter__(self) -> BinaryIO:
        if self._path is not None:
            self._file = self._path.with_name(self._path.name + ".part").open("wb")
        return self._file

    def __exit__(self, kind: object, *_: object) -> None:
        self._file.flush()
        if self._path is not None:
            self._file.close()
            if kind is None:
                Path(self._file.name).replace(self._path)
