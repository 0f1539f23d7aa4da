"""Reads and writes the request parameters of a v2 body. An unknown or wrong parameter is refused by name.

`priority` and `timeout` may be those of Triton's clients: a priority of 0 or 1 is interactive, a higher one is batch,
and a timeout is in microseconds. A null counts as left out, and `1.0` is a whole number. This module must not know
tensors.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from shared.errors import DecodeError, Unprocessable
from shared.limits import (
    DEFAULT_TOP_K,
    MAX_LAYERS,
    MAX_NEW_TOKENS,
    MAX_SEED,
    MAX_SEQUENCES,
    MAX_TEMPERATURE,
    MAX_TOP_K,
)
from shared.messages import DEFAULT_POOLING, POOLINGS, InferCall, Pooling, Priority, Sampling
from shared.protocol.frame import brief
from shared.strict_json import whole

MAX_NAME_CHARS = 128
_LAYER = re.compile(r"-?[0-9]{1,3}")
_NAMES = (
    "head", "top_k", "per_token", "normalize", "priority", "tenant", "tokenizer", "target_ids", "timeout",
    "binary_data_output", "pooling", "layers", "attentions", "max_new_tokens", "do_sample", "temperature", "top_p",
    "num_return_sequences", "seed",
)  # fmt: skip
_SAMPLING = ("max_new_tokens", "do_sample", "temperature", "top_p", "num_return_sequences", "seed")


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of one request.

    `target_ids` is None when they are not among the parameters; they may also be a tensor. `timeout_s` is in seconds.
    """

    head: str
    top_k: int
    per_token: bool
    normalize: bool
    priority: Priority
    tenant_hash: str
    fingerprint: str
    pooling: Pooling
    layers: tuple[int, ...]
    attentions: bool
    sampling: Sampling | None
    target_ids: tuple[int, ...] | None
    timeout_s: float | None
    binary_data_output: bool


def write_parameters(call: InferCall) -> dict[str, object]:
    """Return the parameters of a call. All are scalars. Parameters with their default value are left out."""
    given: dict[str, tuple[object, object]] = {
        "head": (call.head, ""),
        "top_k": (call.top_k, DEFAULT_TOP_K) if call.sampling is None else (call.sampling.top_k, None),
        "per_token": (call.per_token, False),
        "normalize": (call.normalize, False),
        "pooling": (call.pooling, DEFAULT_POOLING),
        "layers": (",".join(map(str, call.layers)), ""),
        "attentions": (call.attentions, False),
        "priority": (call.priority, "interactive"),
        "tenant": (call.tenant_hash, ""),
        "tokenizer": (call.fingerprint, ""),
    }
    if call.sampling is not None:
        given |= {name: (getattr(call.sampling, name), None) for name in _SAMPLING}
    return {name: value for name, (value, default) in given.items() if value != default}


def read_parameters(given: object) -> Parameters:
    """Check and read the parameters. Raises DecodeError when they are no object, Unprocessable for a wrong one."""
    if not isinstance(given, dict):
        raise DecodeError(f"got parameters {brief(given)}, expected an object")
    raw = {name: whole(value) for name, value in given.items() if value is not None}
    if unknown := sorted(set(raw) - set(_NAMES)):
        raise Unprocessable(f"unknown parameter {brief(unknown[0])}; known: {', '.join(_NAMES)}")
    samples = any(name in raw for name in _SAMPLING)
    timeout_us = _integer(raw, "timeout", default=0, low=1, high=2**53) if "timeout" in raw else None
    return Parameters(
        head=_name(raw, "head"),
        top_k=DEFAULT_TOP_K if samples else _integer(raw, "top_k", default=DEFAULT_TOP_K, low=1, high=MAX_TOP_K),
        per_token=_flag(raw, "per_token"),
        normalize=_flag(raw, "normalize"),
        pooling=_pooling(raw.get("pooling", DEFAULT_POOLING)),
        layers=_layers(raw.get("layers", "")),
        attentions=_flag(raw, "attentions"),
        sampling=_sampling(raw) if samples else None,
        priority=_priority(raw.get("priority", "interactive")),
        tenant_hash=_name(raw, "tenant"),
        fingerprint=_name(raw, "tokenizer"),
        target_ids=_target_ids(raw["target_ids"]) if "target_ids" in raw else None,
        timeout_s=None if timeout_us is None else timeout_us / 1e6,
        binary_data_output=_flag(raw, "binary_data_output"),
    )


def read_timeout(header: str) -> float:
    """Read the seconds left from the HTTP header. Raises DecodeError unless they are a finite positive number."""
    try:
        seconds = float(header)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise DecodeError(f"got a timeout of {brief(header)}, expected seconds above 0")
    return seconds


def _name(raw: Mapping[str, object], name: str) -> str:
    value = raw.get(name, "")
    if not isinstance(value, str) or len(value) > MAX_NAME_CHARS or not value.isprintable():
        raise Unprocessable(f"got {name} {brief(value)}, expected at most {MAX_NAME_CHARS} printable characters")
    return value


def _flag(raw: Mapping[str, object], name: str) -> bool:
    value = raw.get(name, False)
    if not isinstance(value, bool):
        raise Unprocessable(f"got {name} {brief(value)}, expected true or false")
    return value


def _integer(raw: Mapping[str, object], name: str, *, default: int, low: int, high: int) -> int:
    value = raw.get(name, default)
    if type(value) is not int or not low <= value <= high:
        raise Unprocessable(f"got {name} {brief(value)}, expected an integer from {low} to {high}")
    return value


def _number(raw: Mapping[str, object], name: str, *, default: float, above: float, high: float) -> float:
    value = raw.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not above < value <= high:
        raise Unprocessable(f"got {name} {brief(value)}, expected a number above {above:g}, at most {high:g}")
    return float(value)


def _sampling(raw: Mapping[str, object]) -> Sampling:
    defaults = Sampling()
    return Sampling(
        max_new_tokens=_integer(raw, "max_new_tokens", default=defaults.max_new_tokens, low=1, high=MAX_NEW_TOKENS),
        do_sample=_flag(raw, "do_sample"),
        temperature=_number(raw, "temperature", default=defaults.temperature, above=0, high=MAX_TEMPERATURE),
        top_k=_integer(raw, "top_k", default=defaults.top_k, low=0, high=MAX_TOP_K),
        top_p=_number(raw, "top_p", default=defaults.top_p, above=0, high=1),
        num_return_sequences=_integer(
            raw, "num_return_sequences", default=defaults.num_return_sequences, low=1, high=MAX_SEQUENCES
        ),
        seed=_integer(raw, "seed", default=defaults.seed, low=0, high=MAX_SEED),
    )


def _pooling(value: object) -> Pooling:
    for pooling in POOLINGS:
        if value == pooling:
            return pooling
    *most, last = POOLINGS
    raise Unprocessable(f"got pooling {brief(value)}, expected {', '.join(most)} or {last}")


def _layers(value: object) -> tuple[int, ...]:
    """Read text such as `0,6,-1`, because parameters of the protocol are scalars."""
    parts = value.split(",") if isinstance(value, str) and value else []
    if (value != "" and not parts) or len(parts) > MAX_LAYERS or not all(map(_LAYER.fullmatch, parts)):
        raise Unprocessable(f"got layers {brief(value)}, expected at most {MAX_LAYERS} numbers such as 0,6,-1")
    return tuple(map(int, parts))


def _priority(value: object) -> Priority:
    if value == "batch" or (type(value) is int and value > 1):
        return "batch"
    if value == "interactive" or (type(value) is int and value >= 0):
        return "interactive"
    raise Unprocessable(f"got priority {brief(value)}, expected interactive or batch")


def _target_ids(value: object) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(item) is int for item in value):
        raise Unprocessable(f"got target_ids {brief(value)}, expected a list of integers")
    return tuple(value)
