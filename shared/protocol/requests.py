"""Writes an InferCall as the body of `POST /v2/models/{model}/infer`, and reads such a body.

Packed form (ours): `input_ids` [tokens] and `row_lengths` [rows]. Optional are `lang_ids`, `token_type_ids` and
`position_ids` [tokens], `positions` [n] with `positions_per_row` [rows], and `target_ids` [targets].
Padded form (of other clients): `input_ids` and `attention_mask` [rows, width]. Optional are `lang_ids`,
`token_type_ids` and `position_ids` [rows, width], and `positions` [n], each as row * width + column.
All tensors are INT32 or INT64 (a mask may also be BOOL), as bytes or as JSON lists. A null counts as left out. The URL
names the model. The header `x-request-timeout-seconds` says how much time is left. This module must not know heads or
tasks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from shared.errors import DeadlineExceeded, DecodeError, Unprocessable
from shared.limits import MAX_CLASSES
from shared.messages import InferCall, Tensor
from shared.protocol.call_limits import CallLimits, check_body_bytes, check_call
from shared.protocol.frame import Body, brief, read_frame, write_frame
from shared.protocol.padded import Padding, unpad
from shared.protocol.parameters import Parameters, read_parameters, read_timeout, write_parameters
from shared.protocol.tensors import INTEGERS, read_tensors, write_tensor
from shared.strict_json import lone_surrogate_at, whole

__all__ = [
    "TIMEOUT_HEADER",
    "CallLimits",
    "DecodedCall",
    "RequestedOutput",
    "ResponseForm",
    "decode_call",
    "encode_call",
]

TIMEOUT_HEADER = "x-request-timeout-seconds"
MAX_ID_CHARS = 256
PADDED_DIMENSIONS = 2  # rows, width
_KEYS = ("id", "model_name", "parameters", "inputs", "outputs")
_INPUTS: Mapping[str, tuple[str, ...]] = {
    "input_ids": INTEGERS,
    "row_lengths": INTEGERS,
    "attention_mask": (*INTEGERS, "BOOL"),
    "lang_ids": INTEGERS,
    "token_type_ids": INTEGERS,
    "position_ids": INTEGERS,
    "positions": INTEGERS,
    "positions_per_row": INTEGERS,
    "target_ids": INTEGERS,
}


class RequestedOutput(NamedTuple):
    """An output that the caller wants: whether as bytes, and how many of its best classes in place of all numbers."""

    name: str
    binary: bool
    n_classes: int = 0


@dataclass(frozen=True, slots=True)
class ResponseForm:
    """The form in which the caller wants the answer.

    `outputs` None requests all outputs, in the form that `binary` says. `padding` is set when the request was padded.
    `max_answer_bytes` limits the tensors of the answer.
    """

    request_id: str | None
    binary: bool
    outputs: tuple[RequestedOutput, ...] | None
    padding: Padding | None
    max_answer_bytes: int


@dataclass(frozen=True, slots=True)
class DecodedCall:
    """A decoded request: the call, packed and checked, and the form of its answer."""

    call: InferCall
    form: ResponseForm


def encode_call(call: InferCall) -> Body:
    """Write a call in the packed form. All tensors are binary, and a binary answer is requested.

    Raises DeadlineExceeded when no time is left for an answer.
    """
    if call.timeout_s is not None and call.timeout_s <= 0:
        raise DeadlineExceeded(f"got {call.timeout_s:.3f} s left, expected more than 0")
    tensors = {
        "input_ids": call.input_ids,
        "row_lengths": call.row_lengths,
        "lang_ids": call.lang_ids,
        "token_type_ids": call.token_type_ids,
        "position_ids": call.position_ids,
        "positions": call.positions,
        "positions_per_row": call.positions_per_row,
        "target_ids": Tensor.ints(call.target_ids) if call.target_ids else None,
    }
    written = [write_tensor(name, tensor, binary=True) for name, tensor in tensors.items() if tensor is not None]
    header = {
        "parameters": {**write_parameters(call), "binary_data_output": True},
        "inputs": [entry for entry, _ in written],
    }
    body = write_frame(header, [chunk for _, chunk in written if chunk is not None])
    timeout = {} if call.timeout_s is None else {TIMEOUT_HEADER: repr(call.timeout_s)}
    return Body({**body.headers, **timeout}, body.data)


def decode_call(
    model: str, headers: Mapping[str, str], data: bytes | memoryview[int], limits: CallLimits
) -> DecodedCall:
    """Read a request in either form. Return it as a packed call, with the form of its answer.

    INT32 tensors are views of `data`. The call's `head` is "" when the request names none. Raises DecodeError for a
    body that does not follow the protocol, TooLarge beyond the limits, and Unprocessable for unknown names and for
    values that the model cannot take.
    """
    headers = {name.lower(): value for name, value in headers.items()}
    check_body_bytes(len(data), limits)
    found, binary = read_frame(headers, data, limits.json)
    header = {key: value for key, value in found.items() if value is not None}
    _check_keys(header, model)
    parameters = read_parameters(header.get("parameters", {}))
    tensors = read_tensors(header.get("inputs"), binary, _INPUTS)
    target_ids = _target_ids(tensors.pop("target_ids", None), parameters)
    rows, padding = _rows(tensors, limits)
    call = InferCall(
        model=model,
        head=parameters.head,
        **rows,
        top_k=parameters.top_k,
        target_ids=target_ids,
        per_token=parameters.per_token,
        normalize=parameters.normalize,
        pooling=parameters.pooling,
        layers=parameters.layers,
        attentions=parameters.attentions,
        sampling=parameters.sampling,
        priority=parameters.priority,
        tenant_hash=parameters.tenant_hash,
        fingerprint=parameters.fingerprint,
        timeout_s=_timeout_s(headers, parameters),
    )
    check_call(call, limits)
    return DecodedCall(call, _form(header, parameters, padding, limits))


def _check_keys(header: Mapping[str, object], model: str) -> None:
    if unknown := sorted(set(header) - set(_KEYS)):
        raise Unprocessable(f"unknown key {brief(unknown[0])} in the body; known: {', '.join(_KEYS)}")
    if header.get("model_name", model) != model:
        raise Unprocessable(f"got model_name {brief(header['model_name'])} at the address of model {model!r}")


def _rows(tensors: dict[str, Tensor], limits: CallLimits) -> tuple[dict[str, Tensor], Padding | None]:
    if "input_ids" not in tensors:
        raise Unprocessable("got no input_ids, expected them packed [tokens] or padded [rows, width]")
    dimensions = len(tensors["input_ids"].shape)
    if dimensions == PADDED_DIMENSIONS:
        return unpad(tensors, limits)
    if dimensions != 1:
        raise Unprocessable(f"got input_ids of {dimensions} dimensions, expected [tokens] or [rows, width]")
    if "attention_mask" in tensors:
        raise Unprocessable("got attention_mask with packed input_ids, expected row_lengths")
    if "row_lengths" not in tensors:
        raise Unprocessable("got packed input_ids without row_lengths, expected both")
    return tensors, None


def _target_ids(tensor: Tensor | None, parameters: Parameters) -> tuple[int, ...]:
    if tensor is None:
        return parameters.target_ids or ()
    if parameters.target_ids is not None or len(tensor.shape) != 1:
        raise Unprocessable("got target_ids twice or not flat, expected one list or tensor [targets]")
    return tuple(tensor.int_values())


def _timeout_s(headers: Mapping[str, str], parameters: Parameters) -> float | None:
    given = [parameters.timeout_s, read_timeout(headers[TIMEOUT_HEADER]) if TIMEOUT_HEADER in headers else None]
    return min((seconds for seconds in given if seconds is not None), default=None)


def _form(
    header: Mapping[str, object], parameters: Parameters, padding: Padding | None, limits: CallLimits
) -> ResponseForm:
    request_id = header.get("id")
    if request_id is not None and not (isinstance(request_id, str) and len(request_id) <= MAX_ID_CHARS):
        raise DecodeError(f"got id {brief(request_id)}, expected a string of at most {MAX_ID_CHARS} characters")
    if request_id is not None:
        _check_unicode(request_id)
    binary = parameters.binary_data_output
    wanted = header.get("outputs")
    outputs = None if wanted is None or wanted == [] else _outputs(wanted, default=binary)
    return ResponseForm(request_id, binary, outputs, padding, limits.max_answer_bytes)


def _check_unicode(request_id: str) -> None:
    """Raise Unprocessable for an id with a lone surrogate, because the answer repeats the id as UTF-8."""
    if (at := lone_surrogate_at(request_id)) is not None:
        found = f"the lone surrogate U+{ord(request_id[at]):04X} at character {at} of id"
        raise Unprocessable(f"got {found}, expected well-formed Unicode")


def _outputs(raw: object, *, default: bool) -> tuple[RequestedOutput, ...]:
    if not isinstance(raw, list):
        raise DecodeError(f"got outputs {brief(raw)}, expected a list of objects with name, or none for all")
    wanted = tuple(_output(entry, default=default) for entry in raw)
    names = [each.name for each in wanted]
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise DecodeError(f"output {brief(twice)} is requested twice")
    return wanted


def _output(entry: object, *, default: bool) -> RequestedOutput:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise DecodeError("got a requested output without a name, expected an object with name")
    name, given = entry["name"], entry.get("parameters")
    if set(entry) - {"name", "parameters"} or not isinstance(given, dict | None):
        raise DecodeError(f"requested output {brief(name)} has other keys than name and parameters")
    parameters = {key: value for key, value in (given or {}).items() if value is not None}
    if unknown := sorted(set(parameters) - {"binary_data", "classification"}):
        raise Unprocessable(f"requested output {brief(name)} has an unknown parameter {brief(unknown[0])}")
    binary, n_classes = parameters.get("binary_data", default), whole(parameters.get("classification", 0))
    if not isinstance(binary, bool):
        raise Unprocessable(f"requested output {brief(name)} has a binary_data that is not true or false")
    if type(n_classes) is not int or not 0 <= n_classes <= MAX_CLASSES:
        found = f"requested output {brief(name)} has classification {brief(n_classes)}"
        raise Unprocessable(f"{found}, expected a number of classes from 0 to {MAX_CLASSES}")
    return RequestedOutput(name, binary, n_classes)
