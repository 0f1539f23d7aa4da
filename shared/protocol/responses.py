"""Writes a ModelOutput as a v2 response and reads it back; the same for errors, in the shape that v2 clients show.

The response parameters `queue_s` and `infer_s` are the seconds of each stage. An answer that cannot be read is the
server's fault, so it raises ReplicaError. This module must not know heads or tasks.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from shared.errors import DecodeError, GlossaError, NotFinite, ReplicaError, TooLarge, Unprocessable, from_problem
from shared.messages import ModelOutput, Tensor
from shared.protocol.frame import Body, JsonBounds, brief, read_frame, read_json, write_frame
from shared.protocol.padded import pad
from shared.protocol.requests import DecodedCall, ResponseForm
from shared.protocol.tensors import read_tensors, write_tensor

JSON_BYTES_PER_BYTE = 5  # an FP32 takes up to 20 characters
MAX_ERROR_BYTES = 65_536
_MAX_STAGE_S = 1e9


def encode_output(
    decoded: DecodedCall, model: str, revision: str, output: ModelOutput, *, per_token: Collection[str] = ()
) -> Body:
    """Write an answer in the form that the caller requested. `model` and `revision` name the model that answered.

    `per_token` names the outputs [tokens, ...]. When the request was padded, they are padded with zeros too. Raises
    Unprocessable for a requested output that does not exist, TooLarge for an answer beyond the limit, NotFinite for NaN
    or an infinity in JSON.
    """
    written = [
        write_tensor(name, tensor, binary=binary)
        for name, tensor, binary in _requested_outputs(decoded.form, output.outputs, per_token)
    ]
    header: dict[str, object] = {} if decoded.form.request_id is None else {"id": decoded.form.request_id}
    header |= {
        "model_name": model,
        "model_version": revision,
        "parameters": {f"{stage}_s": seconds for stage, seconds in output.timings_s.items()},
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


def _requested_outputs(
    form: ResponseForm, outputs: Mapping[str, Tensor], per_token: Collection[str]
) -> list[tuple[str, Tensor, bool]]:
    """Return the outputs to send: name, tensor (padded where the request was), and whether it is binary.

    Raises TooLarge when they exceed the limit together.
    """
    wanted = form.outputs if form.outputs is not None else tuple((name, form.binary) for name in outputs)
    left = form.max_answer_bytes
    chosen = []
    for name, binary in wanted:
        if name not in outputs:
            raise Unprocessable(f"no output {brief(name)}; outputs: {', '.join(outputs)}")
        factor = 1 if binary else JSON_BYTES_PER_BYTE
        tensor = outputs[name]
        if form.padding is not None and name in per_token:
            tensor = pad(name, tensor, form.padding, left // factor)
        left -= factor * len(tensor.data)
        if left < 0:
            n_bytes = form.max_answer_bytes - left
            counted = "" if binary else f", JSON as {JSON_BYTES_PER_BYTE} for one"
            raise TooLarge(
                f"got an answer of {n_bytes} bytes up to output {name}{counted}, at most {form.max_answer_bytes}",
                hint="send fewer rows per call" if binary else "send fewer rows per call, or ask for binary outputs",
            )
        chosen.append((name, tensor, binary))
    return chosen


def _timings_s(parameters: object) -> dict[str, float]:
    if not isinstance(parameters, dict):
        raise DecodeError(f"got parameters {brief(parameters)}, expected an object")
    return {
        name.removesuffix("_s"): float(value)
        for name, value in parameters.items()
        if name.endswith("_s") and type(value) in {int, float} and 0 <= value < _MAX_STAGE_S
    }
