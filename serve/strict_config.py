"""Reads Serve configurations strictly: it refuses each key that Ray would drop in silence, and names its path.

Ray's schema ignores unknown keys at most levels. So a mistyped `max_queued_request: 64` leaves the queue unbounded.
Works on any pydantic schema. Must not know Ray.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

S = TypeVar("S", bound=BaseModel)


def read_strict(schema: type[S], text: str) -> S:
    """Read YAML (or JSON) as `schema`. Raises ValueError that names each unknown key, repeated key or bad value."""
    return check_strict(schema, _parse(text))


def check_strict(schema: type[S], raw: object) -> S:
    """Validate parsed YAML as `schema`. Raises ValueError that names the path of each unknown key or bad value."""
    if not isinstance(raw, Mapping):
        raise ValueError(f"got {type(raw).__name__} as a {schema.__name__}, expected a mapping")  # noqa: TRY004 - the file is wrong, not a call
    if unknown := sorted(unknown_keys(schema, raw)):
        raise ValueError(f"unknown keys in {schema.__name__}: {', '.join(unknown)}")
    try:
        return schema.model_validate(raw)
    except ValidationError as error:
        errors = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ValueError(f"{schema.__name__} cannot be read: {errors}") from None


def unknown_keys(schema: type[BaseModel], raw: Mapping[str, object], at: str = "") -> Iterator[str]:
    """Yield the path of every key that no model of the schema names, at any depth.

    A plain dict in the schema (`args`, `runtime_env`) may have any key: its keys belong to others.
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
    """Return the model in an annotation, also inside an Optional, a Union or a list. None when it has none."""
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
    """Raise ValueError when a mapping at any depth has a key twice. YAML would silently keep the last one."""
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if repeated := sorted({key for key in keys if keys.count(key) > 1}):
            raise ValueError(f"keys stand twice: {', '.join(repeated)}")
        for _, value in node.value:
            _refuse_repeats(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_repeats(item)
