"""Reads template.yaml for tests, as written and as SAM expands it, and finds parts of it.

It deploys nothing and knows no emulator.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
Values = Mapping[str, Any]


@functools.cache
def _translated(given: str = "{}") -> subprocess.CompletedProcess[str]:
    program = Path(__file__).with_name("expand_template.py")
    return subprocess.run(
        [ROOT / ".venv-sam/bin/python", "-I", program, ROOT / "template.yaml", given],
        capture_output=True, text=True, check=False, env={**os.environ, "AWS_DEFAULT_REGION": "us-east-1"},
    )  # fmt: skip


@functools.cache
def templates(given: str = "{}") -> dict[str, Any]:
    """Return the template as written (`source`) and as SAM expands it (`expanded`), with parameters as JSON.

    Raises ValueError with the message of SAM.
    """
    if _translated(given).returncode != 0:
        raise ValueError(f"template.yaml cannot be expanded:\n{_translated(given).stderr[-2000:]}")
    read: dict[str, Any] = json.loads(_translated(given).stdout)
    return read


def resources(kind: str, *, expanded: bool = True) -> dict[str, dict[str, Any]]:
    """Return the resources of a type by logical id."""
    found = templates()["expanded" if expanded else "source"]["Resources"]
    return {name: resource for name, resource in found.items() if resource["Type"] == kind}


def properties(kind: str) -> dict[str, dict[str, Any]]:
    """Return the properties of each expanded resource of a type, by logical id."""
    return {name: resource.get("Properties", {}) for name, resource in resources(kind).items()}


def target(value: Any) -> str:
    """Return the logical id that a Ref or a GetAtt names. Raises ValueError for anything else."""
    match value:
        case {"Ref": str(name)}:
            return name
        case {"Fn::GetAtt": [str(name), *_]}:
            return name
    raise ValueError(f"got {value!r}, expected a Ref or a GetAtt")


def statements(role: Values) -> list[dict[str, Any]]:
    """Return the statements written into a role. Those that only some parameters bring are among them."""
    written = [each for policy in role.get("Policies", []) for each in policy["PolicyDocument"]["Statement"]]
    return [each["Fn::If"][1] if "Fn::If" in each else each for each in written]


def listed(value: Any) -> list[Any]:
    """Return a list unchanged and a single value as a list of one, as IAM reads both."""
    return value if isinstance(value, list) else [value]


def walk(value: Any) -> Iterator[Any]:
    """Yield a value and every mapping, list and leaf below it."""
    yield value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for each in inner:
        yield from walk(each)


def condition(name: str, given: Values) -> bool:
    """Evaluate a condition of the template for values of parameters and pseudo parameters."""
    return bool(_evaluate(templates()["source"]["Conditions"][name], given))


def holds(expression: Any, given: Values) -> bool:
    """Evaluate the expression of a condition or a rule."""
    return bool(_evaluate(expression, given))


def _evaluate(expression: Any, given: Values) -> Any:
    if not isinstance(expression, dict):
        return expression
    ((name, inner),) = expression.items()
    meaning: Mapping[str, Callable[[], Any]] = {
        "Ref": lambda: given[inner],
        "Condition": lambda: condition(inner, given),
        "Fn::Equals": lambda: _evaluate(inner[0], given) == _evaluate(inner[1], given),
        "Fn::Not": lambda: not _evaluate(inner[0], given),
        "Fn::And": lambda: all(_evaluate(each, given) for each in inner),
        "Fn::Or": lambda: any(_evaluate(each, given) for each in inner),
        "Fn::Contains": lambda: _evaluate(inner[1], given) in _evaluate(inner[0], given),
        "Fn::Select": lambda: _evaluate(inner[1], given)[inner[0]],
    }
    return meaning[name]()
