"""Makes tables of the kept results: `python -m benchmarks.reporting.tables`.

`RESULTS.md` gets one table for each question, `notes/tables.md` gets every figure. Writes between two marks and leaves
the rest of a page as it is. Must not know what was measured.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks import ROOT
from benchmarks.reporting.numbers import number
from benchmarks.reporting.plain_names import goal_name, metric_name, run_order, run_title, system_name
from benchmarks.reporting.questions import question_lines

FOLDER = ROOT / "benchmarks" / "results"
PAGE = ROOT / "benchmarks" / "RESULTS.md"
DETAILS = ROOT / "benchmarks" / "notes" / "tables.md"
BEGIN = "<!-- tables: made by `python -m benchmarks.reporting.tables` from results/*.json; edits here are lost -->"
END = "<!-- end of tables -->"


def main() -> int:
    """Rewrite the tables of both pages."""
    kept = kept_results()
    pictures = [path.stem for path in FOLDER.glob("*.png")]
    for page, made in ((PAGE, question_lines(kept, pictures=pictures)), (DETAILS, section_lines(kept))):
        text = page.read_text(encoding="utf-8")
        page.write_text(replace_section(text, "\n".join(made)), encoding="utf-8")
    return 0


def kept_results() -> dict[str, Any]:
    """Return the results by name. Those of other machines are in folders, and named `MACHINE/RUN`."""
    return {
        path.relative_to(FOLDER).with_suffix("").as_posix(): json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(FOLDER.rglob("*.json"))
    }


def replace_section(page: str, made: str) -> str:
    """Return the page with the new section between the marks. Without marks the section goes to the end."""
    before, found, rest = page.partition(BEGIN)
    after = rest.partition(END)[2] if found else ""
    return f"{before.rstrip()}\n\n{BEGIN}\n{made}\n{END}\n{after.lstrip()}"


def section_lines(kept: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield the lines of the section."""
    if not kept:
        yield "Nothing has been measured yet. `make bench` measures all of it."
    else:
        yield "A figure is the median of several rounds; the lowest and the highest are in brackets."
        yield "Compare figures within one table only. `make bench` measures all of it again."
    for name in sorted(kept, key=run_order):
        yield from _run_lines(name, kept[name])


def _run_lines(name: str, run: Mapping[str, Any]) -> Iterator[str]:
    """Yield the heading, the machine, the picture and the tables of one run."""
    yield from ("", f"## {run_title(name)}", "")
    yield f"`{run['command']}`, {run['date']}, load average at the end {run['load_average']:g}."
    yield f"Machine: {run['reports'][0]['machine']}."
    if (FOLDER / f"{name}.png").exists():
        yield from ("", f"![{run_title(name)}](../results/{name}.png)")
    for report in run["reports"]:
        yield from ("", f"**{report['workload']}**", "")
        yield from table_lines(report["rows"])
        yield from goal_lines(report["goals"])


def table_lines(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a table of systems and figures. The columns are systems or figures, whichever are fewer."""
    systems, metrics = (list(dict.fromkeys(row[key] for row in rows)) for key in ("system", "metric"))
    cells = {(row["system"], row["metric"]): _cell(row) for row in rows}
    system_names, metric_names = list(map(system_name, systems)), list(map(metric_name, metrics))
    if len(systems) >= len(metrics):
        yield from _grid("system", system_names, metric_names, lambda i, j: cells.get((systems[i], metrics[j]), ""))
    else:
        yield from _grid("figure", metric_names, system_names, lambda i, j: cells.get((systems[j], metrics[i]), ""))


def goal_lines(goals: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a table of goals: what was measured, what was aimed for, and whether the goal is met."""
    if not goals:
        return
    yield from ("", "| goal | measured | aimed for | met |", "|---|---|---|---|")
    for goal in goals:
        is_at_least = goal["ok"] == (goal["value"] >= goal["target"])
        aim = f"{'at least' if is_at_least else 'at most'} {number(goal['target'])}"
        yield f"| {goal_name(goal['goal'])} | {number(goal['value'])} | {aim} | {'yes' if goal['ok'] else '**no**'} |"


def _cell(row: Mapping[str, Any]) -> str:
    low, value, high = (number(row[key]) for key in ("low", "value", "high"))
    return value if low == high else f"{value} ({low}-{high})"


def _grid(corner: str, down: Sequence[str], across: Sequence[str], cell: Callable[[int, int], str]) -> Iterator[str]:
    yield f"| {corner} | {' | '.join(across)} |"
    yield "|---" * (1 + len(across)) + "|"
    for i, name in enumerate(down):
        yield f"| {name} | {' | '.join(cell(i, j) for j in range(len(across)))} |"


if __name__ == "__main__":
    raise SystemExit(main())
