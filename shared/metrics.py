"""The registry of metrics: name, unit, dimensions, emitters and meaning of each one, and the log events that carry it.

On the Lambda side a metric rides on a log line that is written anyway, in CloudWatch's embedded metric format. Replicas
hand their metrics to Ray, and a collector brings them to CloudWatch under the same names. A dimension never holds text
of a caller: its values are bounded by a pattern. Must not know who logs, Ray or AWS's client libraries.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

NAMESPACE = "Glossa"
RAY_PREFIX = "glossa_"  # of a metric's name in Ray, which puts `ray_` before it when it exports to Prometheus
EXPORTED_NAME = re.compile(r"ray_glossa_(.*?)(?:_total)?")  # what a replica's metric is called in Prometheus

Kind = Literal["counter", "gauge", "histogram"]
Unit = Literal["Count", "Milliseconds", "Percent", "Count/Second"]
Fields = Mapping[str, object]
Reading = Callable[[Fields], float | None]

# The values of each dimension. A metric is dropped when a value does not match, so that no other text can be one.
DIMENSIONS = {
    "stack": re.compile(r"[A-Za-z][A-Za-z0-9-]{0,127}"),
    "function": re.compile(r"infer|jobs|plan|work|finalize|sweep|notify|canary|authorize"),
    "model": re.compile(r"[a-z0-9][a-z0-9._-]{0,62}"),
    "code": re.compile(r"[a-z][a-z-]{1,30}"),
    "state": re.compile(r"SUCCEEDED|PARTIALLY_SUCCEEDED|FAILED|CANCELLED"),
    "operation": re.compile(r"[a-z][a-z-]{1,30}"),
    "size_class": re.compile(r"base|large|xl"),
}
BOUNDS = {
    "stack": "the name of the stack of functions; one for each environment",
    "function": "the functions",
    "model": "the models of the catalog",
    "code": "the error codes of `shared/errors.py`",
    "state": "the four end states of a job",
    "operation": "the actions of the sweeper",
    "size_class": "base, large and xl",
}
REPLICA = "replica"
FRONT = "front"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `dimensions` lists the sets of dimensions under which it is published; `stack` is in each of them.

    `emitters` are Lambda functions, `replica`, or `front` (the application of the model server at /v2).
    """

    name: str
    kind: Kind
    unit: Unit
    emitters: tuple[str, ...]
    meaning: str
    dimensions: tuple[tuple[str, ...], ...] = ((),)

    @property
    def dimension_sets(self) -> tuple[tuple[str, ...], ...]:
        """The sets with `stack`, as CloudWatch gets them."""
        return tuple(("stack", *names) for names in self.dimensions)


_API, _QUEUED, _COMMITS = ("infer", "jobs"), ("plan", "work", "finalize", "notify"), ("work", "sweep")
_ALSO_BY_MODEL = ((), ("model",))
MILLISECONDS: Unit = "Milliseconds"

METRICS = {metric.name: metric for metric in (
    # ---- a request
    Metric("requests", "counter", "Count", _API, "Requests that were answered, with any status.", (("function",),)),
    Metric("request_faults", "counter", "Count", _API, "Requests that ended with a status of 500 or above.",
           (("function",),)),
    Metric("requests_refused", "counter", "Count", _API, "Requests that ended with 429 or 503: send them again later.",
           (("function",),)),
    Metric("request_errors", "counter", "Count", _API, "Requests that ended with an error, by its code.",
           (("function", "code"),)),
    Metric("request_latency_ms", "histogram", MILLISECONDS, _API, "Time in the function.", (("function",),)),
    Metric("request_tokens", "counter", "Count", ("infer",), "Tokens of the texts that were answered.",
           _ALSO_BY_MODEL),
    Metric("request_queue_ms", "histogram", MILLISECONDS, ("infer",), "Time that a request waited in a replica.",
           (("model",),)),
    Metric("request_infer_ms", "histogram", MILLISECONDS, ("infer",), "Time from call to answer of the model server.",
           (("model",),)),
    Metric("breaker_open", "gauge", "Count", ("infer", "work"), "1 when a circuit breaker opens, 0 when it closes or "
           "is made. The model server failed several times in a row.", _ALSO_BY_MODEL),
    Metric("callers_refused", "counter", "Count", ("authorize",), "Bearer tokens that the authorizer refused."),
    Metric("issuer_key_failures", "counter", "Count", ("authorize",), "Keys of an issuer that could not be read."),
    # ---- a job
    Metric("records_planned", "counter", "Count", ("plan",), "Records that were found in the inputs of jobs."),
    Metric("shards_done", "counter", "Count", _COMMITS, "Shards whose result was written."),
    Metric("shards_failed", "counter", "Count", _COMMITS, "Shards that were given up; their rows are error rows."),
    Metric("records_answered", "counter", "Count", _COMMITS, "Records that got an answer.", _ALSO_BY_MODEL),
    Metric("records_failed", "counter", "Count", _COMMITS, "Records that got an error row.", _ALSO_BY_MODEL),
    Metric("jobs_ended", "counter", "Count", ("finalize",), "Jobs that ended, by their end state.", (("state",),)),
    Metric("message_failures", "counter", "Count", _QUEUED, "Messages whose step raised an error. Each comes again.",
           (("function",),)),
    Metric("message_retries", "counter", "Count", _QUEUED, "Messages put off, such as those for a full server.",
           (("function",),)),
    Metric("webhook_calls", "counter", "Count", ("notify",), "Webhooks that answered, with any status."),
    Metric("webhook_failures", "counter", "Count", ("notify",), "Webhook calls that were refused or not taken."),
    Metric("sweep_runs", "counter", "Count", ("sweep",), "Runs of the sweeper, one a minute."),
    Metric("counter_drift", "counter", "Count", ("sweep",), "Jobs whose counters differed from their shards, and were "
           "repaired. More than 0 is a bug of ours."),
    Metric("sweep_failures", "counter", "Count", ("sweep",), "Due items that the sweeper could not look at."),
    Metric("sweeper_actions", "counter", "Count", ("sweep",), "Due items by what the sweeper did with them.",
           (("operation",),)),
    # ---- from outside
    Metric("canary_success", "gauge", "Count", ("canary",), "1 when the scheduled request was answered well, else 0."),
    Metric("canary_latency_ms", "histogram", MILLISECONDS, ("canary",),
           "Time of the scheduled request, for its caller."),
    # ---- a replica
    Metric("replica_starts", "counter", "Count", (REPLICA,), "Replicas that became ready. More than deployments and "
           "scaling explain are restarts.", _ALSO_BY_MODEL),
    Metric("replica_calls", "counter", "Count", (REPLICA,), "Calls that a replica answered.", (("model",),)),
    Metric("replica_refused", "counter", "Count", (REPLICA,), "Calls that a replica refused, by the code of the error.",
           (("model", "code"),)),
    Metric("replica_latency_ms", "histogram", MILLISECONDS, (REPLICA,), "Time from admission to answer in a replica.",
           (("model",),)),
    Metric("replica_tokens", "counter", "Count", (REPLICA,), "Tokens that went through forward passes.", (("model",),)),
    Metric("replica_queue_tokens", "gauge", "Count", (REPLICA,), "Tokens that were admitted and not yet answered.",
           (("model",),)),
    Metric("replica_batch_fill", "gauge", "Percent", (REPLICA,), "Tokens of the last passes, of the token budget.",
           (("model",),)),
    Metric("replica_broken_passes", "counter", "Count", (REPLICA,), "Forward passes that failed.", (("model",),)),
    Metric("replicas_missing", "gauge", "Count", (FRONT,), "Replicas that are wanted but do not run, by size class. "
           "When it stays above 0 there is no capacity, or replicas do not start.", (("size_class",),)),
)}  # fmt: skip


# ---- which log events carry which metrics


def _one(_: Fields) -> float:
    return 1.0


def _zero(_: Fields) -> float:
    return 0.0


def _count_of(name: str) -> Reading:
    return lambda fields: _number(fields.get(name))


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _status_is(matches: Callable[[int], bool]) -> Reading:
    return lambda fields: float(isinstance(status := fields.get("status"), int) and matches(status))


def _answered_tokens(fields: Fields) -> float | None:
    return _number(fields.get("n_tokens")) if fields.get("status") == _OK and "model" in fields else None


def _stage_ms(name: str) -> Reading:
    def read(fields: Fields) -> float | None:
        timings_ms = fields.get("timings_ms")
        return _number(timings_ms.get(name)) if isinstance(timings_ms, Mapping) and "model" in fields else None

    return read


def _latency_ms(fields: Fields) -> float | None:
    seconds = _number(fields.get("seconds"))
    return None if seconds is None else round(seconds * 1000, 1)


def _when(name: str, value: object) -> Reading:
    """Return a reading of 1 when a field has this value, and none otherwise."""
    return lambda fields: 1.0 if fields.get(name) == value else None


_OK, _UNAUTHORIZED, _INTERNAL_ERROR = 200, 401, 500
_REFUSALS = frozenset({429, 503})
_BREAKER = {"open": 1.0, "closed": 0.0}

EVENTS: Mapping[str, Mapping[str, Reading]] = {
    "request": {
        "requests": _one,
        "request_faults": _status_is(lambda status: status >= _INTERNAL_ERROR),
        "requests_refused": _status_is(_REFUSALS.__contains__),
        "request_errors": lambda fields: 1.0 if "code" in fields else None,
        "request_latency_ms": _latency_ms,
        "request_tokens": _answered_tokens,
        "request_queue_ms": _stage_ms("queue"),
        "request_infer_ms": _stage_ms("infer"),
    },
    "circuit-breaker": {"breaker_open": lambda fields: _BREAKER.get(str(fields.get("state")))},
    "authorize": {"callers_refused": _status_is(lambda status: status == _UNAUTHORIZED), "issuer_key_failures": _zero},
    "issuer_keys": {"issuer_key_failures": _one},
    "planned": {"records_planned": _count_of("records")},
    "committed": {
        "shards_done": lambda fields: float(fields.get("state") == "DONE"),
        "shards_failed": lambda fields: float(fields.get("state") == "FAILED"),
        "records_answered": _count_of("records"),
        "records_failed": _count_of("failed"),
    },
    "ended": {"jobs_ended": _one},
    "failed": {"message_failures": _one, "webhook_failures": _when("function", "notify")},
    "retry-later": {"message_retries": _one},
    "webhook": {"webhook_calls": _one, "webhook_failures": _zero},
    "webhook-refused": {"webhook_failures": _one},
    "swept": {"sweeper_actions": _count_of("count")},
    "sweep-run": {"sweep_runs": _one, "counter_drift": _zero, "sweep_failures": _count_of("failed")},
    "counters-repaired": {"counter_drift": _one},
}

_common: dict[str, str] = {}


def set_stack(name: str) -> None:
    """Name the stack of this process. Until then no metric is written, as in tests and on a command line."""
    _common["stack"] = name


def forget_stack() -> None:
    """Write no metrics any more."""
    _common.clear()


def metrics_of(event: str, fields: Fields, time_ms: int) -> dict[str, object]:
    """Return what a log line needs to carry the metrics of its event, in CloudWatch's embedded metric format.

    `fields` are those of the line. The result is empty when the event has no metrics.
    """
    readings = EVENTS.get(event)
    if readings is None or not _common:
        return {}
    values = {name: value for name, read in readings.items() if (value := read(fields)) is not None}
    return embedded(values, {**fields, **_common}, time_ms)


def embedded(values: Mapping[str, float], fields: Fields, time_ms: int) -> dict[str, object]:
    """Return metrics in the embedded format, with the values of their dimensions from `fields`.

    Raises KeyError for a name that is not in the registry.
    """
    directives: dict[tuple[tuple[str, ...], ...], list[dict[str, str]]] = {}
    written: dict[str, object] = {}
    for name, value in values.items():
        metric = METRICS[name]
        sets = tuple(names for names in metric.dimension_sets if all(_is_bounded(key, fields) for key in names))
        if sets:
            directives.setdefault(sets, []).append({"Name": name, "Unit": metric.unit})
            written |= {key: fields[key] for names in sets for key in names} | {name: value}
    if not written:
        return {}
    listed = [
        {"Namespace": NAMESPACE, "Dimensions": [list(names) for names in sets], "Metrics": metrics}
        for sets, metrics in directives.items()
    ]
    return {**written, "_aws": {"Timestamp": time_ms, "CloudWatchMetrics": listed}}


def _is_bounded(name: str, fields: Fields) -> bool:
    value = fields.get(name)
    return isinstance(value, str) and DIMENSIONS[name].fullmatch(value) is not None
