"""Makes the speed section of RESULTS.md from what the benchmarks kept: `python -m benchmarks.reporting.tables`.

Writes between two marks and leaves the rest of the file as it is. Must not know what was measured.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks import ROOT

FOLDER = ROOT / "benchmarks" / "results"
PAGE = ROOT / "benchmarks" / "RESULTS.md"
BEGIN = "<!-- speed: made by `python -m benchmarks.reporting.tables` from results/*.json; edits here are lost -->"
END = "<!-- end of speed -->"
EXACT_FROM = 1000.0


def main() -> int:
    """Rewrite the section."""
    kept = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(replaced(text, "\n".join(section(kept))), encoding="utf-8")
    return 0


def replaced(text: str, made: str) -> str:
    """Return the page with the section in its place, at the end where it had none."""
    before, found, rest = text.partition(BEGIN)
    after = rest.partition(END)[2] if found else ""
    return f"{before.rstrip()}\n\n{BEGIN}\n{made}\n{END}\n{after.lstrip()}"


def section(kept: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield the lines of the section."""
    yield "## Speed"
    yield ""
    if not kept:
        yield "Nothing was measured on a quiet machine yet; `make bench` does."
    else:
        yield "Medians of several rounds, the lowest and highest in brackets; compare only within one run."
        yield "`make bench` makes all of it anew."
    for name, run in kept.items():
        yield from ("", f"### {name}", "")
        yield f"`{run['command']}`, {run['date']}, load average at the end {run['load_average']:g};"
        yield str(run["reports"][0]["machine"])
        if (FOLDER / f"{name}.png").exists():
            yield from ("", f"![{name}](results/{name}.png)")
        for report in run["reports"]:
            yield from ("", f"**{report['workload']}**", "")
            yield from table(report["rows"])
            yield from goals(report["goals"])


def table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a table of systems and metrics, the fewer of the two side by side."""
    systems, metrics = (list(dict.fromkeys(row[key] for row in rows)) for key in ("system", "metric"))
    cells = {(row["system"], row["metric"]): _cell(row) for row in rows}
    if len(systems) >= len(metrics):
        yield from _grid("system", systems, metrics, lambda system, metric: cells.get((system, metric), ""))
    else:
        yield from _grid("metric", metrics, systems, lambda metric, system: cells.get((system, metric), ""))


def goals(promises: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line for each promise."""
    if promises:
        yield ""
    for promise in promises:
        word = "holds" if promise["ok"] else "**fails**"
        yield f"- {word}: {promise['goal']}: {number(promise['value'])} (target {number(promise['target'])})"


def number(value: float) -> str:
    """Return a figure with three digits that matter."""
    return f"{value:,.0f}" if abs(value) >= EXACT_FROM else f"{value:.3g}"


def _cell(row: Mapping[str, Any]) -> str:
    low, value, high = (number(row[key]) for key in ("low", "value", "high"))
    return value if low == high else f"{value} ({low}-{high})"


def _grid(corner: str, down: Sequence[str], across: Sequence[str], cell: Any) -> Iterator[str]:
    yield f"| {corner} | {' | '.join(across)} |"
    yield "|---" * (1 + len(across)) + "|"
    for name in down:
        yield f"| {name} | {' | '.join(cell(name, other) for other in across)} |"


if __name__ == "__main__":
    raise SystemExit(main())
