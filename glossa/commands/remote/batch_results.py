"""Writes the rows of an ended batch job, and names its input files that could not be read. Must not know arguments."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from glossa.client import ApiError, Client, Job
from glossa.client.jobs.rows import name_of, without_guards

CHUNK_BYTES = 1 << 20
SHOWN_FILES = 10  # of the files that could not be read
SHOWN_NAME_CHARS = 1024


def write_results(client: Client, job: str, out: Path | None, *, only_errors: bool, raw: bool = False) -> None:
    """Write all rows of a job in order, or its error rows as JSON lines; `out` None is standard output.

    With `raw`, cells of CSV are written without the quote that marks those which begin like a formula.
    """
    found = client.jobs.get(job)
    page: dict[str, Any] | None = None
    with _opened(out) as file:
        if only_errors:
            rows_of_pages = (row for errors in found.pages("errors") for row in errors["errors"])
            file.writelines(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows_of_pages)
        else:
            page = _write_parts(found, file, raw=raw)
    if out is not None and page is not None:
        rows = _count(page["counts"]["succeeded"] + page["counts"]["failed"], "row")
        print(f"{out} has {rows}, {page['counts']['failed']:,} of them errors", file=sys.stderr)
    print_unreadable(client, job, page)


def print_unreadable(client: Client, job: str, page: Mapping[str, Any] | None = None) -> bool:
    """Print which input files of an ended job could not be read, and why; return whether there were any.

    `page` is a page of the job's results, if the caller has one. A request that fails is printed and never raised: the
    rows and the job's own error count for more than these names.
    """
    try:
        page = page or client.call("GET", f"/v1/jobs/{job}/results", query={"page_size": "1"})
        found = _unreadable(client.jobs.get(job), page)
    except Exception as error:  # noqa: BLE001 - no error of these requests may cost the rows or the job's own error
        reason = str(error) if isinstance(error, ApiError) else repr(error)
        rest = "the job's manifest names them"
        print(f"glossa: could not read which files were unreadable, if any: {reason}; {rest}", file=sys.stderr)
        return False
    for name, detail in found[:SHOWN_FILES]:
        print(f"glossa: {_visible(name)}: {detail}", file=sys.stderr)
    if (more := len(found) - SHOWN_FILES) > 0:
        rest = f"and {_count(more, 'more file')} that could not be read"
        print(f"glossa: {rest}; see the job's manifest", file=sys.stderr)
    return bool(found)


def _unreadable(job: Job, page: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the name of each file that could not be read, and the reason.

    The manifest, which may have 65 MB, is read only when there are such files.
    """
    if not page["counts"]["unreadable_inputs"] or page["manifest"] is None:
        return []
    with job.open_part(page["manifest"]) as file:
        inputs = json.load(file)["inputs"]
    return [(name_of(each["key"]), each["error"]["detail"]) for each in inputs if "error" in each]


def _write_parts(job: Job, out: BinaryIO, *, raw: bool) -> dict[str, Any]:
    """Write the rows of all parts; return the last page of results."""
    page: dict[str, Any] = {}
    first = True
    for page in job.pages("results"):
        for part in page["parts"]:
            is_csv = part["key"].endswith(".csv")
            chunks = _checked(job, part, header=first or not is_csv)
            out.writelines(without_guards(chunks) if raw and is_csv else chunks)
            first = False
    return page


def _checked(job: Job, part: Mapping[str, Any], *, header: bool) -> Iterator[bytes]:
    """Yield the bytes of a part after its digest was checked; without `header`, leave out the first line."""
    with job.open_part(part) as file:
        if not header:
            file.readline()
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


@contextmanager
def _opened(path: Path | None) -> Iterator[BinaryIO]:
    """Open standard output, or a file that gets its name only when it is complete."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    partial = path.with_name(path.name + ".part")
    with partial.open("wb") as file:
        yield file
    partial.replace(path)


def _visible(name: str) -> str:
    """Return a name for a sentence: escaped if it cannot be printed, cut if it is very long."""
    kept = name if len(name) <= SHOWN_NAME_CHARS else f"{name[: SHOWN_NAME_CHARS - 1]}…"
    return kept if kept.isprintable() else ascii(kept)[1:-1]


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
