"""Serve configurations, read strictly: a key that Ray would drop in silence is refused by its path.

Ray's schema ignores unknown keys at most levels, so that `max_queued_request: 64` means "unbounded"
there. Works on any pydantic schema that it is given; must not know Ray.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar, get_args

import yaml  # type: ignore[import-untyped] # its stubs are one more package, for two calls
from pydantic import BaseModel, ValidationError

S = TypeVar("S", bound=BaseModel)


def read_strict(schema: type[S], text: str) -> S:
    """Read YAML (or JSON) as `schema`. Raises ValueError naming each unknown key, repeated key or bad value."""
    return check_strict(schema, _parse(text))


def check_strict(schema: type[S], raw: object) -> S:
    """Validate parsed YAML as `schema`. Raises ValueError naming each unknown key or bad value by its path."""
    if not isinstance(raw, Mapping):
        raise ValueError(f"got {type(raw).__name__} as a {schema.__name__}, expected a mapping")  # noqa: TRY004 - the file is wrong, not a call
    if unknown := sorted(unknown_keys(schema, raw)):
        raise ValueError(f"unknown keys in {schema.__name__}: {', '.join(unknown)}")
    try:
        return schema.model_validate(raw)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ValueError(f"{schema.__name__} cannot be read: {faults}") from None


def unknown_keys(schema: type[BaseModel], raw: Mapping[str, object], at: str = "") -> Iterator[str]:
    """Yield the path of every key that no model of the schema names, at any depth.

    A plain dict in the schema (`args`, `runtime_env`) takes any key: it belongs to someone else.
    """
    fields = {field.alias or name: field for name, field in schema.model_fields.items()}
    fields |= {
        name: field for name, field in schema.model_fields.items() if schema.model_config.get("populate_by_name")
    }
    for key, value in raw.items():
        if key not in fields:
            yield f"{at}{key}"
        elif inner := _models(fields[key].annotation):
            yield from _unknown_inside(inner, value, f"{at}{key}")


def _unknown_inside(schema: type[BaseModel], value: object, at: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from unknown_keys(schema, value, f"{at}.")
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, item in enumerate(value):
            yield from _unknown_inside(schema, item, f"{at}[{index}]")


def _models(annotation: object) -> type[BaseModel] | None:
    """Return the model an annotation holds, in an Optional, a Union or a list; None when there is none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _models(part)) is not None), None)


def _parse(text: str) -> object:
    try:
        _refuse_repeats(yaml.compose(text, Loader=yaml.SafeLoader))
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {error}") from None


def _refuse_repeats(node: Any) -> None:
    """Raise ValueError for a mapping, at any depth, that holds a key twice: YAML would keep the last in silence."""
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if repeated := sorted({key for key in keys if keys.count(key) > 1}):
            raise ValueError(f"keys stand twice: {', '.join(repeated)}")
        for _, value in node.value:
            _refuse_repeats(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_repeats(item)
