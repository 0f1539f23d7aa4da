"""The second desk: which model, head and lane answer a request, and the calls that carry its windows there.

A table and some arithmetic; is handed the time. Must not know tokenizers or the network.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from itertools import accumulate

from functions.pipeline.schema import parse_parameters
from shared.catalog import Catalog, Model, split_reference
from shared.errors import DeadlineExceeded, TooLarge, Unprocessable
from shared.messages import InferCall, Routed, Tensor, TextRequest, Tokenized, Window

MAX_CALL_TOKENS = 16_384
MAX_GUESSES = 100_000  # masks x guesses of one request
MAX_TOKEN_VECTORS = (
    8_192  # one a token; at width 1024 that is 32 MiB on the wire, and in Python and JSON twenty times that
)


def route(request: TextRequest, catalog: Catalog) -> Routed:
    """Choose model, head and lane. Without a name: the default model, else the first that can do the task.

    Raises NotFound (model, head), Unprocessable when the named model or head cannot do the task.
    """
    name, head = split_reference(request.model) if request.model is not None else (_able(request.task, catalog), None)
    model = catalog.model(name)
    return Routed(model.name, model.head_for(request.task, head), model.lane)


def calls(
    request: TextRequest, routed: Routed, tokenized: Tokenized, model: Model, *, now_s: float = -math.inf
) -> tuple[InferCall, ...]:
    """Pack the windows, in order, into calls of at most 16k tokens each.

    `now_s` is on the clock of the request's deadline. Raises DeadlineExceeded when that has passed,
    TooLarge when the lane's speed says it will pass, with a batch-job request that would do.
    """
    timeout_s = request.deadline_s - now_s
    _in_time(request, routed, tokenized, model, timeout_s)
    wanted = parse_parameters(request.task, request.parameters).model_dump()
    base = InferCall(
        model=routed.model,
        head=routed.head,
        input_ids=Tensor.ints(()),
        row_lengths=Tensor.ints(()),
        top_k=wanted.get("top_k") or 1,
        target_ids=tokenized.target_ids,
        per_token=wanted.get("per_token", False),
        priority=request.priority,
        tenant_hash=sha256(request.tenant.encode()).hexdigest()[:16],
        fingerprint=tokenized.fingerprint,
        timeout_s=timeout_s if math.isfinite(timeout_s) else None,
    )
    _bound_guesses(base, tokenized)
    _bound_vectors(base, tokenized)
    return tuple(_packed(base, group) for group in _groups(tokenized.windows))


def _able(task: str, catalog: Catalog) -> str:
    names = [catalog.default_model, *catalog.models]
    for name in names:
        if task in catalog.models[name].tasks:
            return name
    raise Unprocessable(f"no model does {task}; models: {sorted(catalog.models)}")


def _in_time(request: TextRequest, routed: Routed, tokenized: Tokenized, model: Model, timeout_s: float) -> None:
    if timeout_s <= 0:
        raise DeadlineExceeded(f"got a deadline that passed {-timeout_s:.2f} s ago, expected time left for the model")
    n_tokens = sum(len(window.input_ids) for window in tokenized.windows)
    estimate_s = n_tokens / model.tokens_per_s
    if estimate_s > timeout_s:
        reference = f"{routed.model}:{routed.head}"
        job = {"task": request.task, "model": reference, "parameters": dict(request.parameters)}
        raise TooLarge(
            f"got {n_tokens} tokens, about {estimate_s:.0f} s at {model.tokens_per_s:.0f} tokens/s,"
            f" expected at most {timeout_s:.1f} s",
            hint=f"send it as a batch job: POST /v1/jobs {json.dumps(job)}",
        )


def _groups(windows: Sequence[Window]) -> Iterator[list[Window]]:
    group: list[Window] = []
    held_tokens = 0
    for window in windows:
        if group and held_tokens + len(window.input_ids) > MAX_CALL_TOKENS:
            yield group
            group, held_tokens = [], 0
        group.append(window)
        held_tokens += len(window.input_ids)
    if group:
        yield group


def _packed(base: InferCall, windows: Sequence[Window]) -> InferCall:
    lengths = [len(window.input_ids) for window in windows]
    packed = replace(
        base,
        input_ids=Tensor.ints(token for window in windows for token in window.input_ids),
        row_lengths=Tensor.ints(lengths),
    )
    if any(window.lang_ids is not None for window in windows):
        packed = replace(packed, lang_ids=Tensor.ints(lang for window in windows for lang in window.lang_ids or ()))
    if any(window.positions for window in windows):
        starts = accumulate(lengths, initial=0)
        places = [start + place for start, window in zip(starts, windows, strict=False) for place in window.positions]
        counts = [len(window.positions) for window in windows]
        packed = replace(packed, positions=Tensor.ints(places), positions_per_row=Tensor.ints(counts))
    return packed


def _bound_guesses(base: InferCall, tokenized: Tokenized) -> None:
    n_masks = sum(len(window.positions) for window in tokenized.windows)
    n_guesses = n_masks * (base.top_k + len(base.target_ids))
    if n_guesses > MAX_GUESSES:
        raise TooLarge(f"got {n_masks} masks that ask for {n_guesses} guesses, at most {MAX_GUESSES} in one request")


def _bound_vectors(base: InferCall, tokenized: Tokenized) -> None:
    n_tokens = sum(len(window.input_ids) for window in tokenized.windows)
    if base.per_token and n_tokens > MAX_TOKEN_VECTORS:
        raise TooLarge(
            f"got {n_tokens} tokens that ask for a vector each, at most {MAX_TOKEN_VECTORS} in one request",
            hint="send fewer or shorter texts in one request; a batch job takes any number of texts of that length",
        )
