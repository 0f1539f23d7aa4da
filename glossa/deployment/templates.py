"""Reads what a template asks for and gives, and links stacks: an output feeds the later parameter of the same name.

It reads parameters and outputs alone. Must not know what resources are.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

TEMPLATES = {"service": Path("template.yaml")}  # every other stack is infra/{stack}.yaml


@dataclass(frozen=True, slots=True)
class Template:
    """A stack's template: each parameter with its default (None: there is none), and the names of its outputs.

    `conditional` are the outputs that a stack may lack: each has a condition, such as a way to authenticate.
    """

    path: Path
    parameters: Mapping[str, str | None]
    outputs: frozenset[str]
    conditional: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Link:
    """The values that a stack gets. `missing` are parameters that nothing feeds.

    `otherwise` has the defaults of the parameters whose output may not be there.
    """

    values: Mapping[str, str]
    missing: tuple[str, ...]
    unknown: tuple[str, ...]
    otherwise: Mapping[str, str] = field(default_factory=dict)


class _Loader(yaml.SafeLoader):
    """Reads YAML and keeps nothing of CloudFormation's own tags: no parameter or output name depends on one."""


def _ignore(loader: yaml.SafeLoader, _: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_mapping(node, deep=True) if isinstance(node, yaml.MappingNode) else None


_Loader.add_multi_constructor("!", _ignore)


def _text(value: Any) -> str:
    """Return a default as CloudFormation reads it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def template_path(stack: str) -> Path:
    """Return the path of a stack's template, relative to the checkout."""
    return TEMPLATES.get(stack, Path("infra") / f"{stack}.yaml")


@functools.cache  # a plan asks for a template several times, and it takes a second to read one
def read_template(root: Path, stack: str) -> Template:
    """Read a stack's template. Raises OSError, and ValueError when it is no template."""
    path = template_path(stack)
    found = _Loader((root / path).read_text(encoding="utf-8")).get_single_data()
    if not isinstance(found, dict) or "Resources" not in found:
        raise ValueError(f"{path} is no CloudFormation template: it has no Resources")
    parameters = {
        name: None if "Default" not in facts else _text(facts["Default"])
        for name, facts in found.get("Parameters", {}).items()
    }
    outputs = found.get("Outputs", {})
    conditional = frozenset(name for name, facts in outputs.items() if "Condition" in facts)
    return Template(path, parameters, frozenset(outputs), conditional)


def link(template: Template, given: Mapping[str, str], earlier: Iterable[str], conditional: Iterable[str] = ()) -> Link:
    """Return the values of a stack's parameters.

    A value that the environment gives wins. Otherwise an earlier stack's output of the same name fills it: as
    `${Name}`, which is known once that stack stands. Otherwise its default does, which is given too: an updated stack
    would keep the value that it had. An empty text in the environment counts as not given. Outputs in `conditional`
    may be lacking, so they need a default beside.
    """
    outputs, unsure = set(earlier), set(conditional)
    values: dict[str, str] = {}
    otherwise: dict[str, str] = {}
    missing = []
    for name, default in template.parameters.items():
        if given.get(name):
            values[name] = given[name]
        elif name in outputs and (name not in unsure or default is not None):
            values[name] = f"${{{name}}}"
            if name in unsure and default is not None:
                otherwise[name] = default
        elif default is None:
            missing.append(name)
        else:
            values[name] = default
    unknown = tuple(sorted(set(given) - set(template.parameters)))
    return Link(values, tuple(missing), unknown, otherwise)
