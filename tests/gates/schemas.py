"""Compares two JSON schemas: whether every value of the one is taken by the other.

It knows the words that our documents use. Must not know where schemas stand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]
LEAST = ("minimum", "exclusiveMinimum", "minLength", "minItems")
MOST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")
MAX_DEPTH = 12


class Schemas:
    """The named schemas of a document."""

    def __init__(self, page: Mapping[str, Any]) -> None:
        """Read them."""
        self._named: Mapping[str, Schema] = page.get("components", {}).get("schemas", {})

    def whole(self, schema: Schema) -> Schema:
        """Return the schema that a reference names, or the schema itself."""
        while "$ref" in schema:
            schema = self._named[schema["$ref"].rsplit("/", 1)[1]]
        return schema


def refused(values: Schema, by: Schema, schemas: tuple[Schemas, Schemas], at: str, depth: int = 0) -> list[str]:
    """Return why a value of the first schema may be refused by the second, a sentence each; none when all are taken.

    `schemas` are those of the documents of both. `at` says where the value stands. Deep inside, nothing is compared.
    """
    values, by = schemas[0].whole(values), schemas[1].whole(by)
    if depth > MAX_DEPTH or not _says(by):
        return []
    deeper = depth + 1
    if given := _alternatives(values):
        return list(dict.fromkeys(each for kind in given for each in refused(kind, by, schemas, at, deeper)))
    if taken := _alternatives(by):
        return min((refused(values, kind, schemas, at, deeper) for kind in taken), key=len)
    return [*_by_value(values, by, at), *_by_part(values, by, schemas, at, deeper)]


def _says(schema: Schema) -> bool:
    return bool(schema.keys() - {"title", "description", "default", "examples"})


def _alternatives(schema: Schema) -> list[Schema]:
    return [each for word in ("anyOf", "oneOf") for each in schema.get(word, ())]


def _by_value(values: Schema, by: Schema, at: str) -> Iterator[str]:
    kinds, taken = _types(values), _types(by)
    if taken and not (kinds and all(kind in taken or (kind == "integer" and "number" in taken) for kind in kinds)):
        yield f"{at}: {' or '.join(sorted(kinds)) or 'any type'} became {' or '.join(sorted(taken))}"
        return
    known, allowed = _constants(values), _constants(by)
    if allowed is not None and (known is None or not known <= allowed):
        gone = sorted((known or set()) - allowed) or ["other values"]
        yield f"{at}: without {', '.join(gone)}"
    for word in LEAST:
        if by.get(word, float("-inf")) > values.get(word, float("-inf")) and not (by[word] == 0 and word[:3] == "min"):
            yield f"{at}: {word} became {by[word]}"
    for word in MOST:
        if by.get(word, float("inf")) < values.get(word, float("inf")):
            yield f"{at}: {word} became {by[word]}"
    if "pattern" in by and by["pattern"] != values.get("pattern"):
        yield f"{at}: the pattern became {by['pattern']}"


def _by_part(values: Schema, by: Schema, schemas: tuple[Schemas, Schemas], at: str, depth: int) -> Iterator[str]:
    given, taken = values.get("properties", {}), by.get("properties", {})
    for name in by.get("required", ()):
        if name not in values.get("required", ()):
            yield f"{at}.{name}: {'may be absent now' if ': answer' in at else 'is required now'}"
    for name, schema in given.items():
        if name in taken:
            yield from refused(schema, taken[name], schemas, f"{at}.{name}", depth)
        elif by.get("additionalProperties") is False:
            yield f"{at}.{name}: is not taken any more"
    if "items" in values and "items" in by:
        yield from refused(values["items"], by["items"], schemas, f"{at}[]", depth)


def _types(schema: Schema) -> set[str]:
    kind = schema.get("type", ())
    if kind:
        return {kind} if isinstance(kind, str) else set(kind)
    constants = schema.get("enum", [schema["const"]] if "const" in schema else [])
    return {"string"} if constants and all(isinstance(each, str) for each in constants) else set()


def _constants(schema: Schema) -> set[str] | None:
    if "const" in schema:
        return {repr(schema["const"])}
    return {repr(each) for each in schema["enum"]} if "enum" in schema else None
