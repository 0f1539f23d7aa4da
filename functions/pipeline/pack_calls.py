"""The third stage: packs windows into calls that a replica takes, and refuses what cannot be done in the time left.

Is handed the time, and a function that knows the server's speed. Must not know tokenizers or the network.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, chain

from functions.messages import Route, Tokenized, Window
from functions.pipeline.request_limits import DIVIDED, check_answer, fits_a_record, n_new_tokens, n_tokens
from functions.tasks.task import TextRequest
from shared.catalog import Head, Model
from shared.errors import DeadlineExceeded, TooLarge
from shared.limits import MAX_CALL_ROWS, MAX_CALL_TOKENS
from shared.messages import InferCall, Sampling, Tensor, tenant_hash

MAX_CALL_NUMBERS = 1_000_000  # most numbers in the answer of one call: 4 MB of the 5 MB that a caller takes
INTERACTIVE_SHARE = 0.6  # an interactive request is refused if it would take more than this share of the time left
ASK_SERVER_SHARE = (
    0.02  # the server's speed is asked for only if the work would take more than this share of the time left
)
NO_INTS = Tensor.ints(())
MAX_RECORD_S = 200.0  # a batch job has less than 300 s for a record
Speed = Callable[[], float | None]


def pack_calls(
    request: TextRequest,
    route: Route,
    tokenized: Tokenized,
    model: Model,
    *,
    now_s: float = -math.inf,
    speed: Speed = lambda: None,
) -> tuple[InferCall, ...]:
    """Pack the windows, in order, into calls that a replica takes. No window is padded.

    A call has at most 16k tokens (fewer where each token is answered with many labels) and 1,024 rows. All windows of
    a call have the same kinds of ids.

    `now_s` is on the clock of the request's deadline. `speed` returns how many tokens per second the server measures,
    or None. It is called for large interactive requests alone; else the catalog's figure counts. Raises
    DeadlineExceeded when the deadline has passed. Raises TooLarge when the work would
    take longer than the time left; its hint is the body of a batch job that does the same.
    """
    timeout_s = request.deadline_s - now_s
    base = InferCall(
        model=route.model,
        head=route.head,
        input_ids=NO_INTS,
        row_lengths=NO_INTS,
        target_ids=tokenized.target_ids,
        sampling=request.parameters.sampling,
        priority=request.priority,
        tenant_hash=tenant_hash(request.tenant),
        fingerprint=tokenized.fingerprint,
        timeout_s=timeout_s if math.isfinite(timeout_s) else None,
        **request.parameters.fields_of_call(),
    )
    _check_time(request, base, tokenized, model, timeout_s, speed)
    check_answer(base, tokenized)
    groups = _groups(tokenized.windows, _most_tokens(model.heads[route.head]), _most_rows(base.sampling))
    return tuple(_packed(base, group) for group in groups)


def _check_time(
    request: TextRequest, base: InferCall, tokenized: Tokenized, model: Model, timeout_s: float, speed: Speed
) -> None:
    if timeout_s <= 0:
        raise DeadlineExceeded(f"got a deadline that passed {-timeout_s:.2f} s ago, expected time left for the model")
    n_total = n_tokens(tokenized) + n_new_tokens(base.sampling, tokenized)
    tokens_per_s, allowed_s = model.tokens_per_s, timeout_s
    if request.priority == "interactive":
        allowed_s = timeout_s * INTERACTIVE_SHARE
        if n_total / tokens_per_s > timeout_s * ASK_SERVER_SHARE:
            tokens_per_s = speed() or tokens_per_s
    if (estimate_s := n_total / tokens_per_s) > allowed_s:
        raise TooLarge(
            f"got {n_total} tokens, about {estimate_s:.0f} s at {tokens_per_s:.0f} tokens/s,"
            f" expected at most {allowed_s:.1f} s",
            hint=_way_forward(request, base, tokenized, model),
        )


def _way_forward(request: TextRequest, base: InferCall, tokenized: Tokenized, model: Model) -> str:
    """Return what a caller can do with work that takes too long: a batch job, if one would take these texts."""
    n_each = [0] * len(request.inputs)
    for window in tokenized.windows:
        n_each[window.input_index] += len(window.input_ids)
    too_long = max(n_each) / model.tokens_per_s > MAX_RECORD_S
    if request.priority == "batch" or too_long or not all(map(fits_a_record, request.inputs)):
        return DIVIDED
    reference = f"{base.model}:{base.head}"
    job = {"task": request.task, "model": reference, "parameters": request.parameters.model_dump()}
    return f"send it as a batch job: POST /v1/jobs {json.dumps(job)}"


def _most_tokens(head: Head) -> int:
    n_numbers = len(head.labels) if head.task == "token-classification" else 1
    return min(MAX_CALL_TOKENS, MAX_CALL_NUMBERS // max(1, n_numbers))


def _most_rows(sampling: Sampling | None) -> int:
    return MAX_CALL_ROWS // (1 if sampling is None else sampling.num_return_sequences)


def _groups(windows: Sequence[Window], most_tokens: int, most_rows: int) -> Iterator[list[Window]]:
    group: list[Window] = []
    n_held, kinds = 0, (False, False, False)
    for window in windows:
        full = n_held + len(window.input_ids) > most_tokens or len(group) == most_rows
        if (own := _kinds_of_ids(window)) != kinds or full:
            if group:
                yield group
            group, n_held, kinds = [], 0, own
        group.append(window)
        n_held += len(window.input_ids)
    if group:
        yield group


def _packed(base: InferCall, windows: Sequence[Window]) -> InferCall:
    lengths = [len(window.input_ids) for window in windows]
    places = positions_per_row = None
    if any(window.positions for window in windows):
        starts = accumulate(lengths, initial=0)
        places = Tensor.ints(
            start + place for start, window in zip(starts, windows, strict=False) for place in window.positions
        )
        positions_per_row = Tensor.ints([len(window.positions) for window in windows])
    return replace(
        base,
        input_ids=Tensor.ints(chain.from_iterable([window.input_ids for window in windows])),
        row_lengths=Tensor.ints(lengths),
        lang_ids=_concatenated([window.lang_ids for window in windows]),
        token_type_ids=_concatenated([window.token_type_ids for window in windows]),
        position_ids=_concatenated([window.position_ids for window in windows]),
        positions=places,
        positions_per_row=positions_per_row,
    )


def _concatenated(ids: Sequence[tuple[int, ...] | None]) -> Tensor | None:
    """Return the windows' ids of one kind, one window after the other. All windows of a call have them, or none has."""
    return None if ids[0] is None else Tensor.ints(chain.from_iterable(window or () for window in ids))


def _kinds_of_ids(window: Window) -> tuple[bool, bool, bool]:
    """Return which kinds of ids a window has beside its tokens."""
    return window.lang_ids is not None, window.token_type_ids is not None, window.position_ids is not None
