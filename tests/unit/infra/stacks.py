"""Reads the stacks of infra/ and template.yaml for tests, as plain values, and finds parts of them.

It expands no macro: template.yaml is read as it is written. It deploys nothing.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.unit.template import ROOT, Values, walk

INFRA = ROOT / "infra"
# stack: its template, in the order in which they are deployed
TEMPLATES = {
    "weights": INFRA / "weights.yaml",
    "network": INFRA / "network.yaml",
    "cluster": INFRA / "cluster.yaml",
    "instances": INFRA / "instances.yaml",
    "service": ROOT / "template.yaml",
    "observability": INFRA / "observability.yaml",
}
OURS = tuple(name for name in TEMPLATES if name != "service" and TEMPLATES[name].exists())
PLATFORMS = tuple(name for name in ("cluster", "instances") if TEMPLATES[name].exists())


class _Loader(yaml.SafeLoader):
    """Reads the short forms of CloudFormation, such as !Ref, as their long forms."""


def _short_form(loader: yaml.SafeLoader, name: str, node: yaml.Node) -> dict[str, Any]:
    value: Any  # whatever the template holds there
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    elif isinstance(node, yaml.MappingNode):
        value = loader.construct_mapping(node, deep=True)
    else:
        raise TypeError(f"got a {type(node).__name__} after !{name}, expected a scalar, a sequence or a mapping")
    if name == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {name if name in ("Ref", "Condition") else f"Fn::{name}": value}


_Loader.add_multi_constructor("!", _short_form)


def parse(text: str) -> dict[str, Any]:
    """Return a template as plain values, with short forms written out."""
    read: dict[str, Any] = yaml.load(text, Loader=_Loader)  # noqa: S506 - a subclass of SafeLoader
    return read


@functools.cache
def stack(name: str) -> dict[str, Any]:
    """Return the template of a stack."""
    return parse(TEMPLATES[name].read_text(encoding="utf-8"))


def chain(platform: str) -> list[str]:
    """Return the stacks of an installation, in the order in which they are deployed."""
    return [name for name in TEMPLATES if name not in PLATFORMS or name == platform if TEMPLATES[name].exists()]


def environment(name: str) -> dict[str, Any]:
    """Return an environment file, such as dev."""
    return tomllib.loads((INFRA / "environments" / f"{name}.toml").read_text(encoding="utf-8"))


def environments() -> list[str]:
    """Return the names of the environment files."""
    return sorted(path.stem for path in (INFRA / "environments").glob("*.toml"))


def resources(template: Values, *kinds: str) -> dict[str, dict[str, Any]]:
    """Return the resources of these types by logical id."""
    return {name: made for name, made in template["Resources"].items() if made["Type"] in kinds}


def policies(template: Values) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield logical id and statement of each policy document in a template: of roles, keys, buckets and endpoints."""
    for name, made in template["Resources"].items():
        for value in walk(made.get("Properties", {})):
            if isinstance(value, dict) and isinstance(value.get("Statement"), list):
                for statement in value["Statement"]:
                    yield name, statement


def text(value: Any) -> str:
    """Return the string of a plain value, a Sub, a Ref or a GetAtt, with references as `${Name}`."""
    match value:
        case {"Fn::Sub": str(template)}:
            return template
        case {"Ref": str(name)}:
            return f"${{{name}}}"
        case {"Fn::GetAtt": [*parts]}:
            return f"${{{'.'.join(parts)}}}"
    return str(value)


def path(name: str) -> Path:
    """Return the file of a stack."""
    return TEMPLATES[name]
