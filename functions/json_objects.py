"""The base of every object that callers send as JSON, which is read as clients write it.

A null counts as left out where null is no value of the field, and `1.0` is a whole number. The schema of an object says
so too. Must not know any one object, nor where it comes from.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import NoneType
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, model_validator

from shared.strict_json import whole

_ABOUT = ("title", "description", "default", "examples")  # keys of a schema that say nothing of values
_NULL = {"type": "null"}


def with_null(schema: dict[str, Any]) -> None:
    """Let the schema of an object take null for each field that may be left out."""
    needed = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        values = {key: value for key, value in field.items() if key not in _ABOUT}
        if name in needed or not values or _NULL in field.get("anyOf", ()) or values == _NULL:
            continue
        about = {key: value for key, value in field.items() if key in _ABOUT}
        either = [*values["anyOf"], _NULL] if set(values) == {"anyOf"} else [values, _NULL]
        schema["properties"][name] = {"anyOf": either, **about}


class JsonObject(BaseModel):
    """Base of what callers send. An unknown field is refused: it would have no effect."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=with_null)

    @model_validator(mode="before")
    @classmethod
    def _as_clients_write(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        return {name: _read(each) for name, each in value.items() if each is not None or cls.keeps_null(name)}

    @classmethod
    def keeps_null(cls, name: str) -> bool:
        """Whether a null is more than a field that is left out: a value, or wrong, because it is needed or unknown."""
        return name not in _may_be_left_out(cls)


def _read(value: object) -> object:
    return [whole(each) for each in value] if isinstance(value, list) else whole(value)


@cache
def _may_be_left_out(kind: type[JsonObject]) -> frozenset[str]:
    """Return the names of the fields that may be left out, but for those of which null is a value."""
    fields = kind.model_fields.items()
    return frozenset(
        name for name, field in fields if not field.is_required() and NoneType not in get_args(field.annotation)
    )
