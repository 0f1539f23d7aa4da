"""Draws what callers saw over time, one PNG beside each file: `python -m benchmarks.chaos.timeline RUN.json ...`.

Runs in the environment of the peers, because matplotlib is there. Each request is a dot at its begin, with its time and
its outcome; what was done to the stack is a line. Must not know what was measured or why.
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

COLORS = {"answered": "#1f6f8b", "refused": "#d9a441", "failed": "#b3403a"}
FAULT, HEAL = "#b3403a", "#4a8f5c"
REFUSED = {429, 503}
OK = 200
MB = 2**20


def main(paths: Sequence[str]) -> int:
    """Draw each file."""
    for path in map(Path, paths):
        draw(json.loads(path.read_text(encoding="utf-8")), path.with_suffix(".png"))
    return 0


def draw(run: Mapping[str, Any], target: Path) -> None:
    """Draw one run: requests by time and outcome above, memory below."""
    seen = run["seen"]
    figure, (above, below) = plt.subplots(
        2, 1, figsize=(9.0, 5.0), height_ratios=[3, 1], sharex=True, layout="constrained"
    )
    for outcome, points in by_outcome(seen["calls"]).items():
        times, seconds = [point[0] for point in points], [max(point[1], 1e-3) for point in points]
        above.scatter(times, seconds, s=6, color=COLORS[outcome], label=f"{outcome} ({len(points)})")
    above.set_yscale("log")
    above.set_ylabel("seconds until the answer", fontsize=8)
    above.set_title(f"{run['name']}: {run['says']}", fontsize=9, loc="left")
    above.legend(fontsize=7, loc="upper right")
    for part, points in memory(seen["usage"]).items():
        below.plot([point[0] for point in points], [point[1] for point in points], linewidth=1, label=part)
    below.set_ylabel("memory, MB", fontsize=8)
    below.set_xlabel("seconds since the load began", fontsize=8)
    if seen["usage"]:
        below.legend(fontsize=7, loc="upper right")
    for axes in (above, below):
        for each in seen["happenings"]:
            if each["is_fault"] or each["heals"]:
                axes.axvline(each["at_s"], color=FAULT if each["is_fault"] else HEAL, linewidth=1, linestyle="--")
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(target, dpi=110)
    plt.close(figure)


def by_outcome(calls: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[float, float]]]:
    """Return begin and seconds of each request, by what came of it."""
    found: dict[str, list[tuple[float, float]]] = {"answered": [], "refused": [], "failed": []}
    for attempt in (attempt for call in calls for attempt in call["attempts"]):
        status = attempt["status"]
        outcome = "answered" if status == OK else "refused" if status in REFUSED else "failed"
        found[outcome].append((attempt["begun_s"], attempt["ended_s"] - attempt["begun_s"]))
    return {outcome: points for outcome, points in found.items() if points}


def memory(usage: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[float, float]]]:
    """Return the memory of each part over time, in MB."""
    found: dict[str, list[tuple[float, float]]] = {}
    for each in usage:
        found.setdefault(each["part"], []).append((each["at_s"], each["rss_bytes"] / MB))
    return found


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
