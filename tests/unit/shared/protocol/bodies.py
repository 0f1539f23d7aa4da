"""Request bodies in JSON that tests of requests share."""

from __future__ import annotations

import json
from typing import Any

from shared.protocol import DecodedCall, decode_call
from tests.unit.shared.protocol.strategies import LIMITS

IDS = {"name": "input_ids", "datatype": "INT32", "shape": [3], "data": [0, 5, 2]}
LENGTHS = {"name": "row_lengths", "datatype": "INT32", "shape": [1], "data": [3]}


def decode_json(body: dict[str, Any], headers: dict[str, str] | None = None) -> DecodedCall:
    """Decode a JSON body."""
    return decode_call("mini", headers or {}, json.dumps(body).encode(), LIMITS)


def packed(**parameters: object) -> dict[str, Any]:
    """Return the smallest packed body."""
    return {"inputs": [IDS, LENGTHS], "parameters": parameters}


def padded(ids: list[list[int]], mask: list[list[int]], datatype: str = "INT64") -> dict[str, Any]:
    """Return a padded body with nested JSON data."""
    shape = [len(ids), len(ids[0])]
    return {
        "inputs": [
            {"name": "input_ids", "datatype": datatype, "shape": shape, "data": ids},
            {"name": "attention_mask", "datatype": datatype, "shape": shape, "data": mask},
        ]
    }
