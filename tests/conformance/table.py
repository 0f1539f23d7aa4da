"""The table of docs/clients.md: one row for each client, with what was seen.

Must not know how calls are made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- the table: make conformance ARGS=--write -->", "<!-- end of the table -->"
HEADER = "| client | version | calls | tasks | with an API key | with a JWT |\n|---|---|---|---|---|---|\n"


def write_table(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Put the table between its marks."""
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n{HEADER}{''.join(rows(lines))}{END}{after}", encoding="utf-8")


def rows(lines: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a row for each client. Lines of a client stand together."""
    for (client, version), group in groupby(lines, key=lambda line: (line["client"], line["version"])):
        theirs = list(group)
        calls = "; ".join(f"`{line['call']}`" for line in theirs)
        tasks = ", ".join(sorted({line["task"] for line in theirs} - {""}))
        jwt = next((f"one call {line['jwt']}" for line in theirs if line.get("jwt")), "not tried")
        yield f"| {client} | {version} | {calls} | {tasks} | {_state(theirs)} | {jwt} |\n"


def _state(lines: Sequence[Mapping[str, Any]]) -> str:
    n_passed = sum(line["state"] == "passed" for line in lines)
    others = [f"{line['call']}: {line['state']}" for line in lines if line["state"] != "passed"]
    return "; ".join([f"{n_passed} of {len(lines)} passed", *others])
