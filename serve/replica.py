"""Serves one model: decodes a call, checks and admits it, waits for its rows, and encodes the answer.

A plain class that Ray Serve runs as an ingress. Ray calls `__serve_build_asgi_app__` and `check_health`. Tests use it
without Ray. Must not know how routes are made, or other replicas.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TypeVar

import torch
from starlette.types import ASGIApp

from serve.engine.engine import Engine
from serve.engine.warm_up import probe_row, warm_up
from serve.http.callers import Verify, nobody
from serve.http.metadata import config, metadata
from serve.http.routes import model_app
from serve.http.statistics import statistics
from serve.kernels.core_team import on_cores, take_cores, use_one_core
from serve.kernels.numa import pin
from serve.own_heads import with_own_heads, without_own_heads
from serve.rows.backbone_limits import BackboneLimits
from serve.rows.row import Row, join, split
from serve.rows.row_validation import check_output_bytes
from serve.scheduling.health import Health, HealthTimes
from serve.scheduling.pending_calls import CompletedCall, PendingCall, PendingRow
from serve.scheduling.response_cache import ResponseCache
from serve.scheduling.runner import Runner
from serve.scheduling.scheduler import Scheduler
from shared.catalog import Head, Model
from shared.error_text import count
from shared.errors import DeadlineExceeded, FingerprintMismatch, GlossaError, NotFound, Unavailable
from shared.limits import MAX_BODY_BYTES, MAX_CALL_ROWS, MAX_CALL_TOKENS
from shared.log import log_event
from shared.messages import InferCall, ModelOutput
from shared.protocol import Body, CallLimits, DecodedCall, ResponseForm, decode_call, encode_output
from shared.protocol.head_outputs import default_head, per_token_outputs

V = TypeVar("V")

MAX_LATENCIES = 16_384  # that are kept until metrics are published; later ones push out the oldest
INLINE_BYTES = 64 * 2**10  # a thread decodes larger bodies, and encodes answers that are larger, padded or in JSON


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a replica waits, in seconds.

    `answer_s` is the time of a call that names none. `longest_s` is the most that a call gets. When the caller names a
    time, the deadline is `margin_s` earlier, or a tenth of that time if that is less. So the answer arrives before the
    proxy's own timeout. `drain_s` bounds the wait for admitted calls on shutdown. `health` are those of health checks.
    """

    answer_s: float = 30.0
    longest_s: float = 120.0
    drain_s: float = 25.0
    margin_s: float = 0.05
    health: HealthTimes = field(default_factory=HealthTimes)


class Replica:
    """Serves one model. Making one loads the engine, and lets every head answer once."""

    def __init__(
        self,
        model: Model,
        load: Callable[[], Engine],
        *,
        n_threads: int | None = None,
        timeouts: Timeouts | None = None,
        verifier: Callable[[], Verify] = lambda: nobody,
    ) -> None:
        """Load the engine and warm it up. `n_threads` is for torch on a CPU; None leaves torch's own choice.

        With `n_threads` all threads stay on one NUMA node, on a machine with several.
        `verifier` makes what checks tokens, in this process. By default every call but health is refused.
        """
        self.verify = verifier()
        pinned = pin(n_threads) if n_threads else frozenset()
        n_threads = n_threads or torch.get_num_threads()
        self.model = model
        self.timeouts = timeouts or Timeouts()
        self.refused: Counter[str] = Counter()
        self.latencies_ms: deque[float] = deque(maxlen=MAX_LATENCIES)
        self.last_answer_s = 0.0
        started_s = time.perf_counter()
        engine, tokens_per_s = on_cores(n_threads, lambda: _warm(load()))
        self.engine = engine
        self.backbone_limits = engine.backbone_limits
        self.limits = _limits(model, engine.backbone_limits)
        self.response_cache = ResponseCache(model.response_cache_bytes)
        scheduler = Scheduler[PendingRow](
            token_budget=model.token_budget,
            max_backlog_tokens=model.max_backlog_tokens,
            tokens_per_s=tokens_per_s,
            max_batch_ms=model.max_batch_ms,
            max_cache_bytes=model.max_cache_bytes,
        )
        probe = probe_row(model, next(iter(without_own_heads(model).heads or model.heads)))
        self.runner = Runner(engine, scheduler, probe, prepare=take_cores, n_cores=n_threads)
        self.runner.probe().result()  # by then the thread has taken its cores; Ray bounds how long a start may take
        self.health = Health(self.runner, self.timeouts.health)
        use_one_core()
        seconds, kernels = time.perf_counter() - started_s, asdict(engine.kernels)
        log_event(
            "replica-ready", model=model.name, revision=model.revision, seconds=seconds, kernels=kernels,
            numa_cores=sorted(pinned),
        )  # fmt: skip

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """Return the HTTP side; the hook that `ray.serve.ingress()` looks for."""
        return model_app(self)

    async def reconfigure(self, user_config: Mapping[str, object]) -> None:
        """Take the heads with checkpoints of their own that the catalog has now. Ray calls it, also at the start.

        The backbone and its memory stay, and calls are answered meanwhile. Raises CheckpointError, and then changes
        nothing.
        """
        model = with_own_heads(self.model, user_config)
        if model.heads == self.model.heads:
            return
        await asyncio.to_thread(self.engine.take_heads, model)
        self.model = model
        self.response_cache = ResponseCache(model.response_cache_bytes)  # a head of the same name answers otherwise
        log_event("heads-taken", model=model.name, count=len(model.heads))

    async def check_health(self) -> None:
        """Return when the engine answers or is at work. Raises when it does not. Ray calls it."""
        await self.health.check()

    async def infer(self, headers: Mapping[str, str], data: bytes, tenant: str | None = None) -> Body:
        """Return the answer to the body of an infer request. Raises GlossaError with the error to send instead.

        `tenant` is the tenant hash of a checked token. It replaces the one that the body names.
        """
        try:
            return await self._infer(headers, data, tenant)
        except GlossaError as error:
            self.refused[error.code] += 1
            raise

    def metadata(self) -> dict[str, object]:
        """Return the v2 metadata of the model."""
        return metadata(self.model, self.limits, asdict(self.engine.kernels))

    def config(self) -> dict[str, object]:
        """Return the v2 configuration of the model."""
        return config(self.model)

    def statistics(self) -> dict[str, object]:
        """Return the v2 statistics of this replica."""
        return statistics(
            self.model,
            self.runner.counts,
            self.response_cache,
            refused=self.refused,
            backlog_tokens=self.runner.backlog_tokens,
            kv_cache_bytes=self.runner.kv_cache_bytes,
            tokens_per_s=self.runner.tokens_per_s,
            last_answer_s=self.last_answer_s,
        )

    async def drain(self) -> None:
        """Refuse new calls and finish the admitted ones, for at most `drain_s`."""
        await asyncio.to_thread(self.runner.drain, self.timeouts.drain_s)

    async def _infer(self, headers: Mapping[str, str], data: bytes, tenant: str | None) -> Body:
        decoded = await _run(len(data) > INLINE_BYTES, lambda: decode_call(self.model.name, headers, data, self.limits))
        call = self._with_head(decoded.call)
        if tenant is not None and call.tenant_hash != tenant:
            call = replace(call, tenant_hash=tenant)
        head = self.model.heads[call.head]  # the model may have other heads when the rows are done
        check_output_bytes(call, self.backbone_limits, self.limits.max_answer_bytes)
        completed = await self._answer(call)
        self.last_answer_s = time.time()
        self.latencies_ms.append(1e3 * (completed.queue_s + completed.infer_s))
        chosen = "" if decoded.call.head else call.head
        slow = _is_slow_to_encode(decoded.form, completed)
        return await _run(slow, lambda: self._encode(decoded, completed, head, chosen))

    async def _answer(self, call: InferCall) -> CompletedCall:
        """Return the outputs of all rows of a call. Rows that the response cache knows run no pass."""
        rows = split(call)
        response_cache = self.response_cache  # another one once there are other heads
        if not self.model.response_cache_bytes:
            return await self._compute(call, rows, range(len(rows)))
        cached = response_cache.look_up(rows, call.tenant_hash)
        missing = [index for index in range(len(rows)) if index not in cached.outputs]
        if not missing:
            return CompletedCall(cached.merged((), ()), queue_s=0.0, infer_s=0.0)
        computed = await self._compute(call, [rows[index] for index in missing], missing)
        completed = replace(computed, results=cached.merged(missing, computed.results))
        response_cache.store(cached, completed.results)
        return completed

    async def _compute(self, call: InferCall, rows: Sequence[Row], places: Sequence[int]) -> CompletedCall:
        """Run rows of a call, which are at `places` among all its rows."""
        pending_call = self.runner.submit(
            rows,
            places=places,
            deadline_s=self._deadline_s(call),
            priority=call.priority,
            tenant=call.tenant_hash,
        )
        return await self._wait(pending_call, call)

    def _with_head(self, call: InferCall) -> InferCall:
        """Return the call with the name of its head. Raises FingerprintMismatch, NotFound."""
        if call.fingerprint and call.fingerprint != self.model.tokenizer_sha256:
            raise FingerprintMismatch(
                f"got ids of tokenizer {call.fingerprint[:12]}, model {self.model.name} expects "
                f"{self.model.tokenizer_sha256[:12]}",
                hint="tokenize with the artifact of this model's catalog entry",
            )
        if call.head and call.head not in self.model.heads:
            raise NotFound(f"model {self.model.name} has no head {call.head!r}; heads: {sorted(self.model.heads)}")
        return call if call.head else replace(call, head=default_head(self.model))

    def _time_s(self, call: InferCall) -> float:
        """Return the seconds that a call has: those that it names, within our limit, or our default."""
        return self.timeouts.answer_s if call.timeout_s is None else min(call.timeout_s, self.timeouts.longest_s)

    def _deadline_s(self, call: InferCall) -> float:
        """Return when the answer of a call must be ready, on the monotonic clock."""
        left_s = self._time_s(call)
        margin_s = 0.0 if call.timeout_s is None else min(self.timeouts.margin_s, left_s / 10)
        return time.monotonic() + left_s - margin_s

    def _deadline_error(self, call: InferCall) -> DeadlineExceeded:
        """Return the error of a call that ran out of time."""
        rows = f"{count(call.n_rows, 'row')} of {count(call.n_tokens, 'token')}"
        return DeadlineExceeded(
            f"got {self._time_s(call):g} s to answer {rows} in, expected more: the rows were dropped",
            hint="allow more time, or send less at a time",
        )

    async def _wait(self, pending_call: PendingCall, call: InferCall) -> CompletedCall:
        """Wait for the answer until the deadline. A call whose caller went away leaves the queue."""
        try:
            left_s = pending_call.deadline_s - time.monotonic()
            return await asyncio.wait_for(asyncio.wrap_future(pending_call.future), left_s)
        except DeadlineExceeded:
            raise self._deadline_error(call) from None
        except TimeoutError:
            error = self._deadline_error(call)
            self.runner.cancel(pending_call, error)
            raise error from None
        except asyncio.CancelledError:
            self.runner.cancel(pending_call, Unavailable("the caller went away"))
            raise

    def _encode(self, decoded: DecodedCall, completed: CompletedCall, head: Head, chosen: str) -> Body:
        """Return the body of an answer. `chosen` is the name of the head that we chose, "" when the caller did."""
        timings_s = {"queue": completed.queue_s, "infer": completed.infer_s}
        outputs = ModelOutput(join(completed.results), timings_s)
        per_token = per_token_outputs(head, per_token=decoded.call.per_token)
        return encode_output(
            decoded, self.model.name, self.model.revision, outputs,
            per_token=per_token, labels=head.labels, answered_by=chosen,
        )  # fmt: skip


def _warm(engine: Engine) -> tuple[Engine, float]:
    """Let every head answer once. Return the engine and its measured tokens per second."""
    return engine, warm_up(engine)


def _limits(model: Model, backbone_limits: BackboneLimits) -> CallLimits:
    return CallLimits(
        max_body_bytes=MAX_BODY_BYTES,
        max_rows=MAX_CALL_ROWS,
        max_tokens=min(MAX_CALL_TOKENS, model.max_backlog_tokens),
        max_row_tokens=model.max_tokens,
        vocab_size=model.vocab_size,
        n_langs=backbone_limits.n_langs
        or 2**31,  # a family without languages: the check of each row refuses, and says why
        n_types=backbone_limits.n_types,
        n_positions=backbone_limits.n_positions,
    )


def _is_slow_to_encode(form: ResponseForm, completed: CompletedCall) -> bool:
    """Say whether encoding an answer would hold up the event loop. Padding can make a large answer of a small one."""
    binary = form.binary if form.outputs is None else all(each.binary and not each.n_classes for each in form.outputs)
    n_bytes = sum(tensor.nbytes for output in completed.results for tensor in output.values())
    return not binary or form.padding is not None or n_bytes > INLINE_BYTES


async def _run(is_slow: bool, work: Callable[[], V]) -> V:  # noqa: FBT001 - private, and clear where it is called
    """Run work that may be slow on a thread, and other work here."""
    return await asyncio.to_thread(work) if is_slow else work()
