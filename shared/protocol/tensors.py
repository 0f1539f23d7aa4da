"""Reads and writes the named tensors of a v2 body. The data of a tensor is bytes, or a JSON list.

No memory is allocated by a declared size: shape and datatype must match the bytes or items that were sent. This module
must not know which tensors a request or an answer has.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from shared.errors import DecodeError, Unprocessable
from shared.messages import Tensor
from shared.protocol.frame import brief
from shared.strict_json import whole

ITEM_BYTES: Mapping[str, int] = {"INT32": 4, "INT64": 8, "FP32": 4, "BOOL": 1}
INTEGERS = ("INT32", "INT64")
_ITEM_TYPES: Mapping[str, frozenset[type]] = {
    "INT32": frozenset({int}),
    "INT64": frozenset({int}),
    "BOOL": frozenset({bool}),
    "FP32": frozenset({int, float}),
}
_MAX_DIMENSIONS = 4
_MAX_SIZE = 2**31 - 1
_KEYS = frozenset({"name", "datatype", "shape", "parameters", "data"})


def write_tensor(name: str, tensor: Tensor, *, binary: bool) -> tuple[dict[str, object], memoryview[int] | None]:
    """Return a tensor's JSON entry, and its bytes if it is binary; they follow the JSON in the body."""
    entry: dict[str, object] = {"name": name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
    if binary:
        entry["parameters"] = {"binary_data_size": len(tensor.data)}
        return entry, tensor.data
    entry["data"] = (tensor.int_values() if tensor.datatype == "INT32" else tensor.float_values()).tolist()
    return entry, None


def read_tensors(
    entries: object, binary: memoryview[int], allowed: Mapping[str, Sequence[str]] | None
) -> dict[str, Tensor]:
    """Read all tensors of a body. INT64 and BOOL become INT32.

    `allowed` maps each name to its datatypes. When it is None, any name may be INT32, INT64 or FP32. The bytes of
    binary tensors follow each other in the order of the entries, and nothing may be left over. Raises DecodeError for
    broken tensors, Unprocessable for unknown names and datatypes and for values beyond INT32.
    """
    if not isinstance(entries, list):
        raise DecodeError(f"got {brief(entries)} for the tensors, expected a list")
    found: dict[str, Tensor] = {}
    offset = 0
    for entry in entries:
        name, datatype, shape = _declaration(entry, allowed)
        if name in found:
            raise DecodeError(f"tensor {brief(name)} is there twice")
        size = _binary_size(name, entry, math.prod(shape) * ITEM_BYTES[datatype])
        if size is None:
            found[name] = _from_json(name, datatype, shape, entry["data"])
        elif offset + size > len(binary):
            raise DecodeError(f"tensor {brief(name)} ends at byte {offset + size} of {len(binary)}: the body is cut")
        else:
            found[name] = _from_bytes(name, datatype, shape, binary[offset : offset + size])
            offset += size
    if offset != len(binary):
        raise DecodeError(f"the body has {len(binary)} tensor bytes, but its tensors declare {offset}")
    return found


def _declaration(entry: object, allowed: Mapping[str, Sequence[str]] | None) -> tuple[str, str, tuple[int, ...]]:
    if not isinstance(entry, dict):
        raise DecodeError(f"got {brief(entry)} as a tensor, expected an object")
    name, datatype, shape = entry.get("name"), entry.get("datatype"), entry.get("shape")
    if not isinstance(name, str):
        raise DecodeError(f"got {brief(name)} as a tensor's name, expected a string")
    if unknown := sorted(set(entry) - _KEYS):
        raise Unprocessable(f"tensor {brief(name)} has an unknown key {brief(unknown[0])}")
    if allowed is not None and name not in allowed:
        raise Unprocessable(f"unknown tensor {brief(name)}; known: {', '.join(allowed)}")
    datatypes = allowed[name] if allowed is not None else (*INTEGERS, "FP32")
    if not isinstance(datatype, str) or datatype not in datatypes:
        raise Unprocessable(f"tensor {brief(name)} has datatype {brief(datatype)}, expected {' or '.join(datatypes)}")
    return name, datatype, _shape(name, shape)


def _shape(name: str, shape: object) -> tuple[int, ...]:
    if not isinstance(shape, list) or not 1 <= len(shape) <= _MAX_DIMENSIONS:
        raise DecodeError(f"tensor {brief(name)} has no shape of 1 to {_MAX_DIMENSIONS} dimensions")
    for size in shape:
        if type(size) is not int or not 0 <= size <= _MAX_SIZE:
            raise DecodeError(f"tensor {brief(name)} has dimension {brief(size)}, expected 0 to {_MAX_SIZE}")
    return tuple(shape)


def _binary_size(name: str, entry: Mapping[str, object], expected: int) -> int | None:
    """Return how many bytes of a binary tensor follow the JSON, or None when its data is in the JSON."""
    parameters = {} if entry.get("parameters") is None else entry["parameters"]
    if not isinstance(parameters, dict):
        raise DecodeError(f"tensor {brief(name)} has parameters {brief(parameters)}, expected an object")
    if unknown := sorted(set(parameters) - {"binary_data_size"}):
        raise Unprocessable(f"tensor {brief(name)} has an unknown parameter {brief(unknown[0])}")
    size = parameters.get("binary_data_size")
    if (size is None) == ("data" not in entry):
        raise DecodeError(f"tensor {brief(name)} needs either data or binary_data_size")
    if size is None:
        return None
    if type(size) is not int or size != expected:
        raise DecodeError(f"tensor {brief(name)} declares {brief(size)} bytes, its shape and datatype make {expected}")
    return expected


def _from_bytes(name: str, datatype: str, shape: tuple[int, ...], data: memoryview[int]) -> Tensor:
    if datatype == "INT32":
        return Tensor("INT32", shape, data)
    if datatype == "FP32":
        return Tensor("FP32", shape, data)
    if datatype == "BOOL":
        return _to_int32(name, shape, data)
    return _to_int32(name, shape, array("q", data.tobytes()))


def _from_json(name: str, datatype: str, shape: tuple[int, ...], data: object) -> Tensor:
    items = _row_major(name, shape, data)
    if datatype in INTEGERS and any(type(item) is float for item in items):
        items = [whole(item) for item in items]  # type: ignore[misc] # the datatypes of what is left are checked below
    if wrong := set(map(type, items)) - _ITEM_TYPES[datatype] - ({int} if datatype == "BOOL" else set()):
        raise DecodeError(f"tensor {brief(name)} holds a {min(kind.__name__ for kind in wrong)}, expected {datatype}")
    if datatype != "FP32":
        return _to_int32(name, shape, items)
    try:
        tensor = Tensor.floats(items, shape)
    except OverflowError:
        raise DecodeError(f"tensor {brief(name)} holds a number beyond FP32") from None
    if not all(map(math.isfinite, tensor.float_values())):
        raise DecodeError(f"tensor {brief(name)} holds a number beyond FP32")
    return tensor


def _to_int32(name: str, shape: tuple[int, ...], values: Iterable[int]) -> Tensor:
    try:
        return Tensor.ints(values, shape)
    except OverflowError:
        raise Unprocessable(f"tensor {brief(name)} holds a value beyond INT32") from None


def _row_major(name: str, shape: tuple[int, ...], data: object) -> list[int]:
    """Return the items of JSON data, row-major. The data is flat, or nested as the shape says."""
    if not isinstance(data, list):
        raise DecodeError(f"tensor {brief(name)} has data {brief(data)}, expected a list")
    nested = len(shape) > 1 and isinstance(next(iter(data), None), list)
    items = _flatten(name, shape, data) if nested else data
    if len(items) != math.prod(shape):
        raise DecodeError(f"tensor {brief(name)} has {len(items)} items, its shape makes {math.prod(shape)}")
    return items


def _flatten(name: str, shape: tuple[int, ...], data: list[Any]) -> list[Any]:
    level: list[Any] = [data]
    for size in shape:
        if not all(isinstance(part, list) and len(part) == size for part in level):
            raise DecodeError(f"tensor {brief(name)} has nested data that is not of its shape")
        level = list(chain.from_iterable(level))
    return level
