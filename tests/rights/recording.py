"""Turns what the emulator wrote about one run into calls with made-up names, which are the same in every run.

Must not know what a role may do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.rights.policy import Call
from tests.rights.resolve import ACCOUNT

# What differs from run to run, and what stands for it.
SAME = (
    (re.compile(r"[0-9a-f]{32}"), "0" * 32),
    (re.compile(r"[0-9]{8}-[0-9a-f]{12}"), "00000000-" + "0" * 12),
    (re.compile(r"^due/[0-9]{2}$"), "due/00"),
    (re.compile(r"(/inbox/[^/]+|/input|/data)/.+$"), r"\1/x"),
    (re.compile(r"/inbox/[^/]+/"), "/inbox/recipe/"),
    (re.compile(r"\.r[0-9]+(?=\.(?:jsonl|csv|json)(?:\.gz)?$)"), ""),
    (re.compile(r"(/parts/[^/.]+)\.(?:jsonl\.gz|csv)$"), r"\1.jsonl"),
)
KEYS = ("dynamodb:LeadingKeys", "s3:prefix", "s3:if-none-match", "events:source")


def read_calls(file: Path, names: Mapping[str, str]) -> list[Call]:
    """Return the calls in a file of the emulator. `names` has the logical id of each physical id.

    Raises PermissionError when a call was refused.
    """
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    if refused := [line for line in lines if not line["allowed"]]:
        raise PermissionError(f"{len(refused)} calls were refused, the first: {refused[0]}")
    return sorted({_call(line, names) for line in lines}, key=str)


def shapes(calls: Iterable[Call]) -> set[str]:
    """Return what a recording is compared by: who did what, to which kind of resource."""
    return {f"{c.role} {c.action} {c.resource} {sorted(c.context.items())}" for c in calls}


def _call(line: Mapping[str, Any], names: Mapping[str, str]) -> Call:
    context = {key: _values(line["context"][key]) for key in KEYS if key in line["context"]}
    return Call(names[line["role"]], line["action"], _same(_logical(line["resource"], names)), context)


def _values(value: Any) -> tuple[str, ...]:
    return tuple(sorted({_same(str(each)) for each in (value if isinstance(value, list) else [value])}))


def _same(text: str) -> str:
    for pattern, stands_for in SAME:
        text = pattern.sub(stands_for, text)
    return text


def _logical(resource: str, names: Mapping[str, str]) -> str:
    """Return an ARN of the emulator with the made-up account and the logical id."""
    resource = resource.replace(":000000000000:", f":{ACCOUNT}:")
    for physical, logical in names.items():
        parts = re.split(r"(?<=[:/])", resource)
        resource = "".join(logical + part[len(physical) :] if part.rstrip(":/") == physical else part for part in parts)
    return resource
