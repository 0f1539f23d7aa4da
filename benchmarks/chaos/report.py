"""Writes what was seen as a page in Markdown, and as JSON for the plots. Must not know how anything was measured."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.chaos.calls import Seen
from benchmarks.chaos.figures import Figures
from benchmarks.chaos.holds import Verdict
from benchmarks.chaos.scenarios import Scenario

COLUMNS = (
    ("SLI", "sli"), ("success", "success"), ("first try", "first_try"), ("p50 calm", "p50_calm_ms"),
    ("p99 calm", "p99_calm_ms"), ("p50 broken", "p50_fault_ms"), ("p99 broken", "p99_fault_ms"),
    ("slowest", "slowest_request_s"), ("refused", "n_refused"), ("refusal p99", "refusal_p99_ms"),
    ("Retry-After was right", "honest_waits"), ("noticed", "notice_s"), ("back", "recover_s"),
    ("calls to the model / call", "amplification"), ("wrong", "n_wrong"),
)  # fmt: skip
SHARES = {"sli", "success", "first_try", "honest_waits", "refusals_with_wait", "goodput_share"}


@dataclass(frozen=True)
class Outcome:
    """One scenario that was run."""

    scenario: Scenario
    seen: Seen
    figures: Figures
    verdicts: tuple[Verdict, ...]

    @property
    def kept(self) -> bool:
        """Whether all its holds were kept."""
        return all(verdict.kept for verdict in self.verdicts)


def page(outcomes: Sequence[Outcome], machine: str, date: str) -> str:
    """Return the report in Markdown."""
    return "\n".join(_lines(outcomes, machine, date)) + "\n"


def shown(name: str, value: float | None) -> str:
    """Return a figure as people read it; a dash says that there was nothing to measure."""
    if value is None:
        return "-"
    if math.isinf(value):
        return "never"
    if name in SHARES:
        return f"{100 * value:.2f} %"
    if name.endswith("_ms"):
        return f"{value:,.0f} ms"
    if name.endswith("_s"):
        return f"{value:.1f}/s" if name.endswith("per_s") else f"{value:.1f} s"
    return f"{value:,.0f}" if name.startswith("n_") else f"{value:.2f}"


def _lines(outcomes: Sequence[Outcome], machine: str, date: str) -> Iterator[str]:
    yield "# What was broken, and what callers saw"
    yield ""
    yield f"Made by `make chaos` on {date}: {machine}."
    yield "The client retries once. Every answer was compared with the right one."
    yield "The SLI is the mean over intervals of 1 - (5xx / requests). A request without a response counts as 5xx."
    yield ""
    yield "| scenario | " + " | ".join(title for title, _ in COLUMNS) + " | holds |"
    yield "|---" * (len(COLUMNS) + 2) + "|"
    for each in outcomes:
        cells = (shown(name, getattr(each.figures, name)) for _, name in COLUMNS)
        yield f"| {each.scenario.name} | " + " | ".join(cells) + f" | {'kept' if each.kept else '**BROKEN**'} |"
    for each in outcomes:
        yield from _section(each)


def _section(outcome: Outcome) -> Iterator[str]:
    seen, found = outcome.seen, outcome.figures
    yield ""
    yield f"## {outcome.scenario.name}"
    yield ""
    sent = f"{found.n_calls} calls, {found.n_requests} requests"
    unsent = f", {found.n_unsent} not sent because too many were open" if found.n_unsent else ""
    yield f"{outcome.scenario.says[:1].upper()}{outcome.scenario.says[1:]}. {sent}{unsent}."
    yield ""
    for each in seen.happenings:
        yield f"- {each.at_s:.1f} s: {each.what}"
    if seen.job is not None:
        job = seen.job
        yield f"- batch job: {job.state} after {job.seconds:.0f} s, {job.rows} rows of {job.records} records, "
        yield f"  {job.dead_letters} messages in dead letter queues"
    errors = _counted(call.error for call in seen.calls if call.error)
    if errors:
        yield f"- errors after the retry: {errors}"
    yield ""
    yield "| hold | measured | |"
    yield "|---|---|---|"
    for verdict in outcome.verdicts:
        value = shown(verdict.hold.figure, verdict.value)
        yield f"| `{verdict.hold}` | {value} | {'kept' if verdict.kept else '**BROKEN**'} |"


def _counted(found: Iterable[str]) -> str:
    names = list(found)
    return ", ".join(f"{names.count(name)} {name}" for name in sorted(set(names)))


def write(outcomes: Sequence[Outcome], folder: Path, machine: str, date: str) -> list[Path]:
    """Write the page, and for each scenario a JSON file with its calls; return the JSON files."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.md").write_text(page(outcomes, machine, date), encoding="utf-8")
    paths = []
    for each in outcomes:
        path = folder / f"{each.scenario.name}.json"
        kept = {
            "name": each.scenario.name, "says": each.scenario.says, "date": date, "machine": machine,
            "figures": asdict(each.figures), "seen": asdict(each.seen),
            "holds": {str(verdict.hold): verdict.kept for verdict in each.verdicts},
        }  # fmt: skip
        path.write_text(json.dumps(kept), encoding="utf-8")
        paths.append(path)
    return paths
