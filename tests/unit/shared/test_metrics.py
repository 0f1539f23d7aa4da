"""The registry of metrics, and the metrics that log lines carry in CloudWatch's embedded format."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import errors, metrics
from shared.log import ALLOWED, log_event
from shared.metrics import BOUNDS, DIMENSIONS, EVENTS, METRICS, NAMESPACE
from tests.embedded_metrics import published
from tests.unit.shared.protocol.strategies import quick

REQUEST = {"function": "infer", "status": 200, "seconds": 0.0312, "model": "mini", "n_tokens": 12}


@pytest.fixture(autouse=True)
def _stack() -> Iterator[None]:
    metrics.set_stack("glossa-dev-service")
    yield
    metrics.forget_stack()


def line(event: str, **fields: Any) -> dict[str, Any]:
    """Return the line that an event writes."""
    stream = io.StringIO()
    log_event(event, stream=stream, **fields)
    written: dict[str, Any] = json.loads(stream.getvalue())
    return written


def test_a_request_line_carries_its_metrics() -> None:
    """One line is still the log of a request. CloudWatch reads counts, latency and tokens from it."""
    written = line("request", **REQUEST, timings_ms={"queue": 1.5, "infer": 9.0})
    assert (written["event"], written["status"]) == ("request", 200)
    assert written["requests"] == 1.0
    assert written["request_faults"] == 0.0
    assert written["request_latency_ms"] == 31.2
    assert (written["request_queue_ms"], written["request_infer_ms"]) == (1.5, 9.0)
    found = {(each.name, each.dimensions) for each in published([written])}
    assert ("requests", (("function", "infer"), ("stack", "glossa-dev-service"))) in found
    assert ("request_tokens", (("stack", "glossa-dev-service"),)) in found
    assert ("request_tokens", (("model", "mini"), ("stack", "glossa-dev-service"))) in found


def test_the_line_has_the_form_that_cloudwatch_reads() -> None:
    """Each directive has a namespace, sets of names that the line has as text, and metrics with a unit and a number."""
    written = line("request", **REQUEST, code="overloaded")
    assert written["_aws"]["Timestamp"] > 1e12
    for directive in written["_aws"]["CloudWatchMetrics"]:
        assert directive["Namespace"] == NAMESPACE
        assert all(isinstance(written[name], str) for names in directive["Dimensions"] for name in names)
        assert all(isinstance(written[each["Name"]], float) and each["Unit"] for each in directive["Metrics"])


def test_without_a_stack_no_metric_is_written() -> None:
    """A process that has not named its stack, such as a command, writes plain log lines."""
    metrics.forget_stack()
    assert "_aws" not in line("request", **REQUEST)


@pytest.mark.parametrize(
    ("event", "fields", "values"),
    [
        ("request", {**REQUEST, "status": 503, "code": "unavailable"},
         {"request_faults": 1.0, "requests_refused": 1.0, "request_errors": 1.0}),
        ("circuit-breaker", {"model": "mini", "state": "open"}, {"breaker_open": 1.0}),
        ("circuit-breaker", {"model": "mini", "state": "closed"}, {"breaker_open": 0.0}),
        ("committed", {"model": "mini", "state": "FAILED", "records": 0, "failed": 3},
         {"shards_done": 0.0, "shards_failed": 1.0, "records_answered": 0.0, "records_failed": 3.0}),
        ("counters-repaired", {"function": "sweep"}, {"counter_drift": 1.0}),
        ("sweep-run", {"function": "sweep", "count": 2, "failed": 1},
         {"sweep_runs": 1.0, "counter_drift": 0.0, "sweep_failures": 1.0}),
        ("failed", {"function": "notify"}, {"message_failures": 1.0, "webhook_failures": 1.0}),
        ("failed", {"function": "plan"}, {"message_failures": 1.0}),
        ("webhook", {"function": "notify", "status": 204}, {"webhook_calls": 1.0, "webhook_failures": 0.0}),
        ("authorize", {"status": 401, "reason": "expired"}, {"callers_refused": 1.0, "issuer_key_failures": 0.0}),
        ("issuer_keys", {"code": "unavailable"}, {"issuer_key_failures": 1.0}),
        ("ended", {"state": "SUCCEEDED"}, {"jobs_ended": 1.0}),
    ],
)  # fmt: skip
def test_an_event_carries_these_values(event: str, fields: dict[str, Any], values: dict[str, float]) -> None:
    """Each event gives its metrics the values that its fields say."""
    written = line(event, **fields)
    assert {name: written.get(name) for name in values} == values


def test_a_half_open_breaker_says_nothing() -> None:
    """Half-open is neither open nor closed, so it carries no value."""
    assert "_aws" not in line("circuit-breaker", model="mini", state="half-open")


@quick
@given(st.sampled_from(sorted(EVENTS)), st.text(max_size=40).map(lambda text: f"canary {text}"))
def test_text_never_becomes_a_dimension(event: str, text: str) -> None:
    """A field of free text is no dimension: the metric loses the set of dimensions that would hold it."""
    written = line(event, **dict.fromkeys(("function", "model", "code", "state", "operation"), text), status=200)
    for each in published([written]):
        assert [name for name, _ in each.dimensions] == ["stack"]


def test_each_metric_is_complete() -> None:
    """A metric has a name in small letters, a meaning, emitters, and dimensions whose values are bounded."""
    for name, metric in METRICS.items():
        assert name == metric.name == name.lower()
        assert metric.meaning.endswith(".")
        assert metric.emitters
        assert {each for names in metric.dimension_sets for each in names} <= set(DIMENSIONS)
    assert set(BOUNDS) == set(DIMENSIONS)
    assert not {"tenant", "text", "job_id", "request_id"} & set(DIMENSIONS)


def test_names_of_metrics_do_not_hide_fields() -> None:
    """A metric has another name than every field of the log, because both stand side by side in a line."""
    assert not set(METRICS) & (ALLOWED | {"time", "level", "event", "dropped"})


def test_every_metric_has_a_source() -> None:
    """Each metric of a function is carried by an event, and each event carries metrics that exist."""
    carried = {name for readings in EVENTS.values() for name in readings}
    own = {"canary", metrics.REPLICA, metrics.FRONT}
    assert carried == {name for name, metric in METRICS.items() if not own & set(metric.emitters)}


def test_every_error_code_is_bounded() -> None:
    """The codes of our errors are values of the dimension `code`."""
    found = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.GlossaError)]
    assert all(DIMENSIONS["code"].fullmatch(each.code) for each in found)


@pytest.mark.parametrize("exported", ["ray_glossa_replica_calls_total", "ray_glossa_replica_calls"])
def test_a_replicas_metric_has_one_name(exported: str) -> None:
    """What Ray adds to a name for Prometheus is taken away again."""
    found = metrics.EXPORTED_NAME.fullmatch(exported)
    assert found is not None
    assert found[1] == "replica_calls"
