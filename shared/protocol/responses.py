"""Writes a ModelOutput as a v2 response and reads it back; the same for errors, in the shape that v2 clients show.

The response parameters `queue_s` and `infer_s` are the seconds of each stage. An answer that cannot be read is the
server's fault, so it raises ReplicaError. This module must not know tasks, or what labels mean.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TypeAlias

from shared.errors import DecodeError, GlossaError, NotFinite, ReplicaError, TooLarge, Unprocessable, from_problem
from shared.messages import ModelOutput, Tensor
from shared.protocol.classification import best_classes, classes_shape, write_texts
from shared.protocol.frame import Body, JsonBounds, brief, read_frame, read_json, write_frame
from shared.protocol.padded import pad
from shared.protocol.requests import DecodedCall, RequestedOutput, ResponseForm
from shared.protocol.tensors import read_tensors, write_tensor

JSON_BYTES_PER_BYTE = 5  # an FP32 takes up to 20 characters
MAX_ERROR_BYTES = 65_536
_MAX_STAGE_S = 1e9
Written: TypeAlias = (
    "tuple[dict[str, object], memoryview[int] | None]"  # an entry of `outputs`, and its bytes if it is binary
)


def encode_output(
    decoded: DecodedCall, model: str, revision: str, output: ModelOutput,
    *, per_token: Collection[str] = (), labels: Sequence[str] = (), answered_by: str = "",
) -> Body:  # fmt: skip
    """Write an answer in the form that the caller requested. `model` and `revision` name the model that answered.

    `per_token` names the outputs [tokens, ...]. When the request was padded, they are padded with zeros too. `labels`
    are those of the head, for an output of which classes are requested. `answered_by` is the head of a call that named
    none: the answer says so in its parameter `head`. Raises Unprocessable for a requested output that does not exist,
    TooLarge for an answer beyond the limit, NotFinite for NaN or an infinity in JSON.
    """
    written = _written(decoded.form, output.outputs, per_token, labels)
    header: dict[str, object] = {} if decoded.form.request_id is None else {"id": decoded.form.request_id}
    header |= {
        "model_name": model,
        "model_version": revision,
        "parameters": {f"{stage}_s": seconds for stage, seconds in output.timings_s.items()}
        | ({"head": answered_by} if answered_by else {}),
        "outputs": [entry for entry, _ in written],
    }
    try:
        return write_frame(header, [chunk for _, chunk in written if chunk is not None])
    except ValueError:
        raise NotFinite("the model answered a number that is not finite, which JSON cannot hold") from None


def decode_output(headers: Mapping[str, str], data: bytes | memoryview[int]) -> ModelOutput:
    """Read an answer. Its tensors are views of `data`. Raises ReplicaError when it cannot be read."""
    headers = {name.lower(): value for name, value in headers.items()}
    bounds = JsonBounds(max_values=len(data), max_nests=len(data))
    try:
        header, binary = read_frame(headers, data, bounds)
        return ModelOutput(read_tensors(header.get("outputs"), binary, None), _timings_s(header.get("parameters", {})))
    except GlossaError as error:
        raise ReplicaError(f"the model server's answer cannot be read: {error.message}") from None


def encode_error(error: GlossaError) -> Body:
    """Write an error. v2 clients show the key `error`, which holds the message. Our problem details stand beside it."""
    body = write_frame({"error": error.message, **error.to_problem()}, [])
    retry_after_s = error.retry_after_s
    if retry_after_s is None:
        return body
    return Body({**body.headers, "retry-after": str(max(1, math.ceil(retry_after_s)))}, body.data)


def decode_error(status: int, data: bytes | memoryview[int]) -> GlossaError:
    """Rebuild the error of an answer whose status is not 200. An error of another server becomes a ReplicaError."""
    try:
        problem = read_json(memoryview(data[:MAX_ERROR_BYTES]), JsonBounds(MAX_ERROR_BYTES, MAX_ERROR_BYTES))
    except GlossaError:
        return from_problem(status, {})
    message = problem.get("error")
    return from_problem(status, {"detail": message, **problem} if isinstance(message, str) else problem)


def _written(
    form: ResponseForm, outputs: Mapping[str, Tensor], per_token: Collection[str], labels: Sequence[str]
) -> list[Written]:
    """Return the entry of each output to send, padded where the request was, and its bytes if it is binary.

    Raises TooLarge when they exceed the limit together.
    """
    wanted = form.outputs if form.outputs is not None else tuple(RequestedOutput(name, form.binary) for name in outputs)
    left = form.max_answer_bytes
    chosen: list[Written] = []
    for name, binary, n_classes in wanted:
        if name not in outputs:
            raise Unprocessable(f"no output {brief(name)}; outputs: {', '.join(outputs)}")
        factor = 1 if binary else JSON_BYTES_PER_BYTE
        tensor = outputs[name]
        if form.padding is not None and name in per_token:
            tensor = pad(name, tensor, form.padding, left // factor)
        if n_classes:
            texts = best_classes(name, tensor, n_classes, labels, left)
            chosen.append(write_texts(name, classes_shape(tensor, n_classes), texts, binary=binary))
            left -= sum(map(len, texts))
            continue
        left -= factor * len(tensor.data)
        if left < 0:
            n_bytes = form.max_answer_bytes - left
            counted = "" if binary else f", JSON as {JSON_BYTES_PER_BYTE} for one"
            raise TooLarge(
                f"got an answer of {n_bytes} bytes up to output {name}{counted}, at most {form.max_answer_bytes}",
                hint="send fewer rows per call" if binary else "send fewer rows per call, or ask for binary outputs",
            )
        chosen.append(write_tensor(name, tensor, binary=binary))
    return chosen


def _timings_s(parameters: object) -> dict[str, float]:
    if not isinstance(parameters, dict):
        raise DecodeError(f"got parameters {brief(parameters)}, expected an object")
    return {
        name.removesuffix("_s"): float(value)
        for name, value in parameters.items()
        if name.endswith("_s") and type(value) in {int, float} and 0 <= value < _MAX_STAGE_S
    }
