"""The second desk: which model, head and lane answer a request, and the calls that carry its windows there.

A table and some arithmetic; is handed the time, and who knows the server's speed. Must not know
tokenizers or the network.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from itertools import accumulate

from functions.http.text_request import parse_parameters
from shared.catalog import Catalog, Head, Model, split_reference
from shared.errors import DeadlineExceeded, TooLarge, Unprocessable
from shared.messages import InferCall, Route, Sampling, Tensor, TextRequest, Tokenized, Window

MAX_CALL_TOKENS = 16_384
MAX_CALL_ROWS = 1_024  # each counted as often as it is continued; more a replica refuses
MAX_CALL_NUMBERS = 1_000_000  # that a call answers with for its tokens: 4 MB of the 5 that a caller takes
MAX_GUESSES = 100_000  # masks x guesses of one request
MAX_READ_BACK_TOKENS = 5_000_000  # of the text with each guess in it; a token is a byte or more of an answer's 5 MB
MAX_TOKEN_VECTORS = 8_192  # of tokens or layers; at width 1024 that is 32 MiB on the wire, twenty times that in JSON
MAX_ATTENTIONS = 2**14  # pairs of tokens over a request, each as many weights as layers x heads: one text of 128
MAX_NEW_TOKENS = 65_536  # of all continuations of one request
INTERACTIVE_SHARE = 0.6  # of the time left that an estimate may take: other requests' passes come between
ASK_SHARE = 0.02  # of the time left; work that the catalog says takes less is not worth a question
Speed = Callable[[], float | None]
FEWER = "send fewer or shorter texts in one request; a batch job takes any number of texts of that length"


def route(request: TextRequest, catalog: Catalog) -> Route:
    """Choose model, head and lane. Without a name: the default model, else the first that can do the task.

    Raises NotFound (model, head), Unprocessable when the named model or head cannot do the task, or not as it is asked.
    """
    name, head = split_reference(request.model) if request.model is not None else (_able(request.task, catalog), None)
    model = catalog.model(name)
    found = model.head_for(request.task, head)
    parse_parameters(request.task, request.parameters).check_head(f"{model.name}:{found}", model.heads[found])
    return Route(model.name, found, model.lane)


def calls(
    request: TextRequest,
    routed: Route,
    tokenized: Tokenized,
    model: Model,
    *,
    now_s: float = -math.inf,
    speed: Speed = lambda: None,
) -> tuple[InferCall, ...]:
    """Pack the windows, in order, into calls that a replica takes; all windows of a call have the same kinds of ids.

    A call has at most 16k tokens (fewer where each is answered with many labels) and 1,024 rows.

    `now_s` is on the clock of the request's deadline. `speed` says how many tokens per second the server measures
    (None: unknown); it is asked for large interactive requests alone, else the catalog's figure counts. Raises
    DeadlineExceeded when the deadline has passed, TooLarge when the speed says it will pass, with a batch-job
    request that would do.
    """
    parameters = parse_parameters(request.task, request.parameters)
    timeout_s = request.deadline_s - now_s
    base = InferCall(
        model=routed.model,
        head=routed.head,
        input_ids=Tensor.ints(()),
        row_lengths=Tensor.ints(()),
        target_ids=tokenized.target_ids,
        sampling=parameters.sampling,
        priority=request.priority,
        tenant_hash=sha256(request.tenant.encode()).hexdigest()[:16],
        fingerprint=tokenized.fingerprint,
        timeout_s=timeout_s if math.isfinite(timeout_s) else None,
    )
    base = replace(base, **{name: getattr(parameters, name) for name in parameters.sends})
    _in_time(request, base, tokenized, model, timeout_s, speed)
    for check in (_bound_guesses, _bound_vectors, _bound_attentions, _bound_new_tokens):
        check(base, tokenized)
    groups = _groups(tokenized.windows, _most_tokens(model.heads[routed.head]), _most_rows(base.sampling))
    return tuple(_packed(base, group) for group in groups)


def _able(task: str, catalog: Catalog) -> str:
    names = [catalog.default_model, *catalog.models]
    for name in names:
        if task in catalog.models[name].tasks:
            return name
    raise Unprocessable(f"no model does {task}; models: {sorted(catalog.models)}")


def _in_time(
    request: TextRequest, base: InferCall, tokenized: Tokenized, model: Model, timeout_s: float, speed: Speed
) -> None:
    if timeout_s <= 0:
        raise DeadlineExceeded(f"got a deadline that passed {-timeout_s:.2f} s ago, expected time left for the model")
    n_tokens = _n_tokens(tokenized) + _n_new(base.sampling, tokenized)
    tokens_per_s, allowed_s = model.tokens_per_s, timeout_s
    if request.priority == "interactive":
        allowed_s = timeout_s * INTERACTIVE_SHARE
        if n_tokens / tokens_per_s > timeout_s * ASK_SHARE:
            tokens_per_s = speed() or tokens_per_s
    if (estimate_s := n_tokens / tokens_per_s) > allowed_s:
        reference = f"{base.model}:{base.head}"
        job = {"task": request.task, "model": reference, "parameters": dict(request.parameters)}
        raise TooLarge(
            f"got {n_tokens} tokens, about {estimate_s:.0f} s at {tokens_per_s:.0f} tokens/s,"
            f" expected at most {allowed_s:.1f} s",
            hint=f"send it as a batch job: POST /v1/jobs {json.dumps(job)}",
        )


def _most_tokens(head: Head) -> int:
    n_numbers = len(head.labels) if head.task == "token-classification" else 1
    return min(MAX_CALL_TOKENS, MAX_CALL_NUMBERS // max(1, n_numbers))


def _most_rows(sampling: Sampling | None) -> int:
    return MAX_CALL_ROWS // (1 if sampling is None else sampling.num_return_sequences)


def _groups(windows: Sequence[Window], most_tokens: int, most_rows: int) -> Iterator[list[Window]]:
    group: list[Window] = []
    held_tokens = 0
    for window in windows:
        full = held_tokens + len(window.input_ids) > most_tokens or len(group) == most_rows
        if group and (full or _kind(window) != _kind(group[0])):
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
        lang_ids=_beside([window.lang_ids for window in windows]),
        token_type_ids=_beside([window.token_type_ids for window in windows]),
        position_ids=_beside([window.position_ids for window in windows]),
    )
    if any(window.positions for window in windows):
        starts = accumulate(lengths, initial=0)
        places = [start + place for start, window in zip(starts, windows, strict=False) for place in window.positions]
        counts = [len(window.positions) for window in windows]
        packed = replace(packed, positions=Tensor.ints(places), positions_per_row=Tensor.ints(counts))
    return packed


def _beside(ids: Sequence[tuple[int, ...] | None]) -> Tensor | None:
    """Return the ids that stand beside the tokens; the windows of a call all have them, or none has."""
    return None if ids[0] is None else Tensor.ints(each for window in ids for each in window or ())


def _kind(window: Window) -> tuple[bool, ...]:
    """Return which ids stand beside a window's tokens."""
    return tuple(ids is not None for ids in (window.lang_ids, window.token_type_ids, window.position_ids))


def _n_tokens(tokenized: Tokenized) -> int:
    return sum(len(window.input_ids) for window in tokenized.windows)


def _n_new(sampling: Sampling | None, tokenized: Tokenized) -> int:
    """Return how many tokens may be generated."""
    if sampling is None:
        return 0
    return len(tokenized.windows) * sampling.num_return_sequences * sampling.max_new_tokens


def _bound_guesses(base: InferCall, tokenized: Tokenized) -> None:
    n_masks = sum(len(window.positions) for window in tokenized.windows)
    n_guesses = n_masks * (base.top_k + len(base.target_ids))
    if n_guesses > MAX_GUESSES:
        raise TooLarge(f"got {n_masks} masks that ask for {n_guesses} guesses, at most {MAX_GUESSES} in one request")
    n_each = min(base.top_k, len(base.target_ids) or base.top_k)
    n_tokens = sum(len(window.positions) * n_each * len(window.input_ids) for window in tokenized.windows)
    if n_tokens > MAX_READ_BACK_TOKENS:
        found = f"got {n_masks} masks whose guesses stand in texts of {n_tokens} tokens together"
        raise TooLarge(f"{found}, at most {MAX_READ_BACK_TOKENS} in one request", hint="ask for fewer guesses or masks")


def _bound_vectors(base: InferCall, tokenized: Tokenized) -> None:
    n_rows = _n_tokens(tokenized) if base.per_token else len(tokenized.windows)
    n_vectors = n_rows * max(1, len(base.layers))
    if (base.per_token or base.layers) and n_vectors > MAX_TOKEN_VECTORS:
        found = f"{n_rows} {'tokens' if base.per_token else 'windows'}"
        each = "a vector" if len(base.layers) < 2 else f"{len(base.layers)} vectors"  # noqa: PLR2004 - a plural
        raise TooLarge(f"got {found} that ask for {each} each, at most {MAX_TOKEN_VECTORS} in one request", hint=FEWER)


def _bound_attentions(base: InferCall, tokenized: Tokenized) -> None:
    if not base.attentions:
        return
    if len({window.row for window in tokenized.windows}) < len(tokenized.windows):
        raise Unprocessable("parameters.attentions: got a text of several windows, expected texts that fit in one")
    n_weights = sum(len(window.input_ids) ** 2 for window in tokenized.windows)
    if n_weights > MAX_ATTENTIONS:
        found = f"got {n_weights} pairs of tokens that ask for attention"
        raise TooLarge(f"{found}, at most {MAX_ATTENTIONS} in one request", hint=FEWER)


def _bound_new_tokens(base: InferCall, tokenized: Tokenized) -> None:
    n_new = _n_new(base.sampling, tokenized)
    if n_new > MAX_NEW_TOKENS:
        found = f"got {len(tokenized.windows)} prompts that ask for up to {n_new} new tokens"
        raise TooLarge(f"{found}, at most {MAX_NEW_TOKENS} in one request", hint=FEWER)
