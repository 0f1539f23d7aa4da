"""Draws bar charts of kept results, one PNG beside each file: `python -m benchmarks.reporting.plot RESULT.json ...`.

Runs in the environment of the peers, because matplotlib is there. Each metric in tokens/s has a panel; a result without
such a metric has a panel for every metric. One more picture shows our share of the limit, by
machine and length of texts. Must not know what was measured.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl  # type: ignore[import-not-found] # only the peers' environment has it

mpl.use("Agg")
from matplotlib import pyplot as plt

OURS, PEER, LIMIT = "#1f6f8b", "#b8c4cc", "#555555"
MAX_PANELS = 8
WIDTH, BAR, FRAME = 9.0, 0.32, 0.9  # inches


def main(paths: Sequence[str]) -> int:
    """Draw each file, and the share of the limit of all of them."""
    kept = {path: json.loads(path.read_text(encoding="utf-8")) for path in map(Path, paths)}
    for path, run in kept.items():
        draw(run, path.with_suffix(".png"))
    if shares := shares_of_limit(list(kept.values())):
        draw_shares(shares, min(path.parent for path in kept) / "share-of-limit.png")
    return 0


def shares_of_limit(runs: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Return our share of the limit by machine, then by models and lengths of texts."""
    found: dict[str, dict[str, float]] = {}
    for report in (report for run in runs for report in run["reports"]):
        for goal in report["goals"]:
            if goal["goal"] == "share of the limit":
                found.setdefault(report["machine"].partition(";")[0], {})[report["workload"]] = goal["value"]
    return found


def draw_shares(shares: Mapping[str, Mapping[str, float]], target: Path) -> None:
    """Draw one panel for each machine, with a bar for each model and length."""
    heights = [FRAME + BAR * len(bars) for bars in shares.values()]
    figure, all_axes = plt.subplots(
        len(shares), 1, figsize=(WIDTH, sum(heights)), height_ratios=heights, squeeze=False, layout="constrained"
    )
    for axes, (machine, values) in zip(all_axes[:, 0], shares.items(), strict=True):
        drawn = axes.barh(list(values), [100 * share for share in values.values()], color=OURS, height=0.7)
        axes.bar_label(drawn, fmt="%.0f %%", fontsize=8, padding=2)
        axes.axvline(100, color=LIMIT, linestyle="--", linewidth=1)
        axes.set_xlim(0, 110)
        axes.invert_yaxis()
        axes.set_title(f"share of the limit of matrix products, %: {machine}", fontsize=9, loc="left")
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(target, dpi=110)
    plt.close(figure)


def draw(run: Mapping[str, Any], target: Path) -> None:
    """Draw all reports of one run into one picture."""
    panels = [
        (f"{report['benchmark']}, {report['workload']}: {metric}", rows)
        for report in run["reports"]
        for metric, rows in panels_of(report["rows"]).items()
    ][:MAX_PANELS]
    heights = [FRAME + BAR * len(rows) for _, rows in panels]
    figure, all_axes = plt.subplots(
        len(panels), 1, figsize=(WIDTH, sum(heights)), height_ratios=heights, squeeze=False, layout="constrained"
    )
    for axes, (title, rows) in zip(all_axes[:, 0], panels, strict=True):
        bars(axes, title, rows)
    figure.savefig(target, dpi=110)
    plt.close(figure)


def panels_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Return the rows of each metric that has a panel."""
    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    chosen = [metric for metric in metrics if metric.endswith("tokens/s")] or metrics
    return {metric: [row for row in rows if row["metric"] == metric] for metric in chosen}


def bars(axes: Any, title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw one panel: a bar for each system with its spread. The limit of the machine is a line."""
    shown = [row for row in rows if not row["system"].startswith("limit")]
    values = [row["value"] for row in shown]
    spread = [[row["value"] - row["low"] for row in shown], [row["high"] - row["value"] for row in shown]]
    colors = [OURS if row["system"].startswith("glossa") else PEER for row in shown]
    axes.barh([row["system"] for row in shown], values, xerr=spread, color=colors, ecolor=LIMIT, height=0.7)
    for row in rows:
        if row["system"].startswith("limit"):
            axes.axvline(row["value"], color=LIMIT, linestyle="--", linewidth=1)
    axes.invert_yaxis()
    axes.set_title(title, fontsize=9, loc="left")
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
