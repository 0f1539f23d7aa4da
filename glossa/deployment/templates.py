"""Reads what a template asks for and gives, and links stacks: an output feeds the later parameter of the same name.

It reads parameters and outputs alone. Must not know what resources are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

TEMPLATES = {"service": Path("template.yaml")}  # every other stack is infra/{stack}.yaml


@dataclass(frozen=True, slots=True)
class Template:
    """A stack's template: each parameter with its default (None: there is none), and the names of its outputs."""

    path: Path
    parameters: Mapping[str, str | None]
    outputs: frozenset[str]


@dataclass(frozen=True, slots=True)
class Link:
    """The values that a stack gets. `missing` are parameters that nothing feeds."""

    values: Mapping[str, str]
    missing: tuple[str, ...]
    unknown: tuple[str, ...]


class _Loader(yaml.SafeLoader):
    """Reads YAML and keeps nothing of CloudFormation's own tags: no parameter or output name depends on one."""


def _ignore(loader: yaml.SafeLoader, _: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_mapping(node, deep=True) if isinstance(node, yaml.MappingNode) else None


_Loader.add_multi_constructor("!", _ignore)


def template_path(stack: str) -> Path:
    """Return the path of a stack's template, relative to the checkout."""
    return TEMPLATES.get(stack, Path("infra") / f"{stack}.yaml")


def read_template(root: Path, stack: str) -> Template:
    """Read a stack's template. Raises OSError, and ValueError when it is no template."""
    path = template_path(stack)
    found = _Loader((root / path).read_text(encoding="utf-8")).get_single_data()
    if not isinstance(found, dict) or "Resources" not in found:
        raise ValueError(f"{path} is no CloudFormation template: it has no Resources")
    parameters = {
        name: None if "Default" not in facts else str(facts["Default"])
        for name, facts in found.get("Parameters", {}).items()
    }
    return Template(path, parameters, frozenset(found.get("Outputs", {})))


def link(template: Template, given: Mapping[str, str], earlier: Iterable[str]) -> Link:
    """Return the values of a stack's parameters.

    A value that the environment gives wins. Otherwise an earlier stack's output of the same name fills it: as
    `${Name}`, which is known once that stack stands. Otherwise its default does. An empty text in the environment
    counts as not given.
    """
    outputs = set(earlier)
    values: dict[str, str] = {}
    missing = []
    for name, default in template.parameters.items():
        if given.get(name):
            values[name] = given[name]
        elif name in outputs:
            values[name] = f"${{{name}}}"
        elif default is None:
            missing.append(name)
    unknown = tuple(sorted(set(given) - set(template.parameters)))
    return Link(values, tuple(missing), unknown)
