"""Writes docs/metrics.md from the registry of metrics.

    python -m shared.metrics_page > docs/metrics.md

A test compares the page with the registry. Must not know how metrics are published.
"""

from __future__ import annotations

import sys

from shared.metrics import BOUNDS, EVENTS, FRONT, METRICS, NAMESPACE, REPLICA, Metric

HEAD = f"""# Metrics

Generated from [shared/metrics.py](../shared/metrics.py) by `python -m shared.metrics_page > docs/metrics.md`.

Every metric is in the CloudWatch namespace `{NAMESPACE}`, and has the dimension `stack`. No dimension holds text of a
caller, a tenant, a job or a request.

- **Functions** write metrics in the [embedded metric format][emf] on log lines that they write anyway. The column
  *log event* names the line. CloudWatch reads the value from it, so a function makes no further call.
- **Replicas** and the front hand their metrics to Ray, which offers them to Prometheus as `ray_glossa_` and the name;
  counters end in `_total`. The collector of `infra/metrics/` brings them to CloudWatch under the name
  in this table. Ray's own metrics, such as those of Serve, are at the same address.

[emf]: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html

| dimension | its values |
|---|---|
"""
SECTIONS = (
    ("Requests", lambda metric: set(metric.emitters) & {"infer", "authorize"}),
    ("Batch jobs", lambda metric: set(metric.emitters) & {"plan", "work", "finalize", "notify", "sweep"}),
    ("The canary", lambda metric: "canary" in metric.emitters),
    ("Replicas and front", lambda metric: set(metric.emitters) & {REPLICA, FRONT}),
)


def page() -> str:
    """Return the text of docs/metrics.md."""
    lines = [HEAD + "\n".join(f"| `{name}` | {values} |" for name, values in BOUNDS.items())]
    left = dict(METRICS)
    for title, belongs in SECTIONS:
        found = [metric for metric in left.values() if belongs(metric)]
        left = {name: metric for name, metric in left.items() if metric not in found}
        lines.append(
            f"\n## {title}\n\n| metric | meaning | kind, unit | by | from | log event |\n|---|---|---|---|---|---|"
        )
        lines += [_row(metric) for metric in found]
    return "\n".join(lines) + "\n"


def _row(metric: Metric) -> str:
    sets = " and ".join(", ".join(f"`{name}`" for name in names) or "the whole stack" for names in metric.dimensions)
    events = ", ".join(f"`{event}`" for event, readings in EVENTS.items() if metric.name in readings)
    emitters = ", ".join(metric.emitters)
    return f"| `{metric.name}` | {metric.meaning} | {metric.kind}, {metric.unit} | {sets} | {emitters} | {events} |"


if __name__ == "__main__":
    sys.stdout.write(page())
