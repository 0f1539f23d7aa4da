"""Makes the tables of `RESULTS.md`: one for each question, picked from the kept results.

A cell is the best figure of the systems that its column names. All figures with their spread are in the detailed
tables (benchmarks.reporting.tables). Must not know what was measured, or the hardware.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.reporting.numbers import number
from benchmarks.reporting.plain_names import goal_name, run_order, run_title

Kept = Mapping[str, Mapping[str, Any]]


class Column(NamedTuple):
    """A column: its heading, the systems it takes the largest figure of, the metric, and whether the goals have it."""

    title: str
    systems: str
    metric: str = "tokens/s"
    is_goal: bool = False


class Question(NamedTuple):
    """A question, the runs that answer it, and the columns of its table. `unit` is said above the table."""

    title: str
    runs: str
    columns: tuple[Column, ...]
    unit: str
    picture: str = ""


class Line(NamedTuple):
    """A line of a table of single figures: what it says, its run, its system and its metric."""

    says: str
    run: str
    system: str
    metric: str


class Figures(NamedTuple):
    """A question that single figures answer."""

    title: str
    lines: tuple[Line, ...]


OURS, INT8, THEIRS = "glossa bfloat16", "glossa int8", r"transformers .*"
BUSY = "64 connections"
QUESTIONS: tuple[Question | Figures, ...] = (
    Question(
        "How fast is the engine alone?",
        r"engine-.*",
        (
            Column("Glossa, bfloat16", OURS),
            Column("Glossa, int8", INT8),
            Column("OpenVINO, bfloat16, its best", r"openvino .*"),
            Column("transformers, its best", THEIRS),
            Column("ONNX Runtime, int8", r"onnxruntime int8 .*"),
            Column("limit of matrix products", r"limit.*"),
            Column("share of the limit", "share of the limit", is_goal=True),
        ),
        "Tokens per second, one process, no server.",
        "share-of-limit",
    ),
    Question(
        "How fast are masks filled, and in how much memory?",
        r"fill-mask-.*",
        (
            Column("Glossa, tokens/s", OURS),
            Column("transformers, its best, tokens/s", THEIRS),
            Column("Glossa, MiB beside libraries and weights", OURS, "MiB beside them"),
            Column("transformers, sorted, MiB", r"transformers .* sorted .*", "MiB beside them"),
        ),
        "One masked word in each text.",
    ),
    Question(
        "How fast is the server?",
        r"serving-.*",
        (
            Column("Glossa over HTTP", "glossa, Ray Serve, HAProxy", "1 x 64: tokens/s"),
            Column("LitServe, its best", r"LitServe.*", "1 x 64: tokens/s"),
            Column("Ray `@serve.batch`, its best", r"Ray .*", "1 x 64: tokens/s"),
            Column("infinity", r"infinity.*", "1 x 64: tokens/s"),
            Column("Glossa, engine alone", "glossa engine alone"),
            Column("p99 of Glossa, ms", "glossa, Ray Serve, HAProxy", "1 x 64: p99 ms"),
        ),
        f"Tokens per second over HTTP, {BUSY}, one text a request. The other servers run models in bfloat16.",
    ),
    Figures(
        "How does the engine grow with cores?",
        tuple(
            Line(f"{cores}, tokens/s", "cores-base", cores, "tokens/s")
            for cores in (
                "1 core, measured",
                "2 cores, measured",
                *(f"{number} cores, simulated" for number in (4, 8, 16, 96)),
            )
        ),
    ),
    Figures(
        "How long does a request take?",
        (
            Line("a lone short text, median, ms", "scheduler-base", "lone short", "p50 ms"),
            Line("a lone long text, median, ms", "scheduler-base", "lone long", "p50 ms"),
            Line("short texts at 70 % load, median, ms", "scheduler-base", "short, at 70 %", "p50 ms"),
            Line("short texts at 70 % load, p99, ms", "scheduler-base", "short, at 70 %", "p99 ms"),
            Line("long texts at 70 % load, median, ms", "scheduler-base", "long, at 70 %", "p50 ms"),
            Line("long texts at 70 % load, p99, ms", "scheduler-base", "long, at 70 %", "p99 ms"),
            Line(f"all texts, {BUSY}, p99, ms", "scheduler-base", f"all, {BUSY}", "p99 ms"),
            Line("from text to labels, one caller, median, ms", "end-to-end-base", "1 text, 1 instance", "p50 ms"),
        ),
    ),
    Figures(
        "What does the Lambda side cost?",
        (
            Line("infer, vocabulary of XLM-R: start, s", "cold-start", "infer 250k", "init s"),
            Line("infer, vocabulary of XLM-R: warm call, ms", "cold-start", "infer 250k", "warm ms, p50"),
            Line("infer, vocabulary of XLM-R: memory, MiB", "cold-start", "infer 250k", "peak MiB"),
            Line("texts per second, 1 a request, one core", "pipeline", "glossa", "texts/s, 1 a request"),
            Line("texts per second, 32 a request, one core", "pipeline", "glossa", "texts/s, 32 a request"),
        ),
    ),
    Question(
        "How fast are texts tokenized?",
        "tokenize",
        (
            Column("Glossa, ids", "glossa", "ids, Mchar/s"),
            Column("tokenizers, ids", "tokenizers", "ids, Mchar/s"),
            Column("Glossa, ids and offsets", "glossa", "spans, Mchar/s"),
            Column("tokenizers, ids and offsets", "tokenizers", "spans, Mchar/s"),
        ),
        "Million characters per second. The line names the size of the vocabulary.",
    ),
    Figures(
        "How fast is a batch job?",
        (
            Line("records per second, engine alone", "batch", "engine alone", "records/s"),
            Line("records per second, batch job", "batch", "batch job, 2 in flight", "records/s"),
            Line("plan of 5 GiB: peak memory, MiB", "batch-memory", "plan", "peak MiB"),
            Line("work on 5 GiB: peak memory, MiB", "batch-memory", "work", "peak MiB"),
        ),
    ),
)


def question_lines(kept: Kept, *, pictures: Sequence[str] = ()) -> Iterator[str]:
    """Yield a heading and a table for each question, then the goals that are missed."""
    for question in QUESTIONS:
        made = list(_columns(question, kept) if isinstance(question, Question) else _figures(question, kept))
        if made:
            yield from (f"## {question.title}", "", *made, "")
        if made and isinstance(question, Question) and question.picture in pictures:
            yield from (f"![{question.title}](results/{question.picture}.png)", "")
    yield from _missed(kept)


def _columns(question: Question, kept: Kept) -> Iterator[str]:
    names = sorted((name for name in kept if re.fullmatch(question.runs, name.rpartition("/")[2])), key=run_order)
    found = [(report["machine"], report, kept[name]) for name in names for report in kept[name]["reports"]]
    machines = dict.fromkeys(machine for machine, _, _ in found)
    if not found:
        return
    yield f"{question.unit} Measured on {'; '.join(machines)}."
    yield ""
    yield f"| models and texts | {' | '.join(column.title for column in question.columns)} | date | command |"
    yield "|---" * (3 + len(question.columns)) + "|"
    for machine, report, run in found:
        label = report["workload"] + (f" ({machine.partition(';')[0]})" if len(machines) > 1 else "")
        cells = " | ".join(_best(column, report) for column in question.columns)
        yield f"| {label} | {cells} | {run['date']} | `{run['command']}` |"


def _figures(question: Figures, kept: Kept) -> Iterator[str]:
    lines: list[str] = []
    machines: dict[str, None] = {}
    for says, run, system, metric in question.lines:
        for report in kept.get(run, {}).get("reports", ()):
            if cell := _best(Column(says, re.escape(system), metric), report):
                machines[report["machine"]] = None
                lines.append(f"| {says} | {cell} | {kept[run]['date']} | `{kept[run]['command']}` |")
    if lines:
        yield from (
            f"Measured on {'; '.join(machines)}.",
            "",
            "| what | figure | date | command |",
            "|---|---|---|---|",
        )
        yield from lines


def _best(column: Column, report: Mapping[str, Any]) -> str:
    """Return the largest figure of the column's systems, or nothing."""
    if column.is_goal:
        found = [goal["value"] for goal in report["goals"] if goal["goal"] == column.systems]
    else:
        found = [
            row["value"]
            for row in report["rows"]
            if row["metric"] == column.metric and re.fullmatch(column.systems, row["system"])
        ]
    return number(max(found)) if found else ""


def _missed(kept: Kept) -> Iterator[str]:
    lines = [
        f"| {run_title(name)} | {goal_name(goal['goal'])} | {number(goal['value'])} | {number(goal['target'])} |"
        for name in sorted(kept, key=run_order)
        for report in kept[name]["reports"]
        for goal in report["goals"]
        if not goal["ok"]
    ]
    if lines:
        yield from ("## Which goals are missed?", "", "The runs are those of the tables above.", "")
        yield from ("| run | goal | measured | aimed for |", "|---|---|---|---|", *lines)
