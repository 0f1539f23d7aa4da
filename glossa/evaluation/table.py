"""Prints records as a table: one row for each language, then mean and spread. Must not know models or metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from glossa.evaluation.results import Record, summary

FILE_COLUMNS = 1000  # a file or a pipe gets each row on one line
Column = tuple[str, Mapping[str, float]]  # heading, and the figure of each language


def print_table(runs: Sequence[Sequence[Record]], metrics: Sequence[str], out: TextIO) -> None:
    """Print the records of one or several precisions beside each other.

    With several, the last columns are what the main figure loses or gains against the first precision.
    """
    first = runs[0]
    columns = [
        *_columns(runs, metrics),
        *_differences(runs, metrics[0]),
        *_baseline(first, metrics if len(runs) == 1 else metrics[:1]),
    ]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("LANGUAGE", no_wrap=True)
    for heading in ("N", *(heading for heading, _ in columns)):
        table.add_column(heading, justify="right", no_wrap=True)
    for record in first:
        cells = [f"{of[record.lang]:.1f}" if record.lang in of else "" for _, of in columns]
        table.add_row(*map(Text, (record.lang, str(record.n_examples), *cells)))
    if len(first) > 1:
        for cells in _sums(len(first), columns):
            table.add_row(*map(Text, cells))
    console = Console(file=out, width=None if out.isatty() else FILE_COLUMNS)
    with console.capture() as captured:
        console.print(table)
    print(*(line.rstrip() for line in captured.get().splitlines()), sep="\n", file=out)


def _columns(runs: Sequence[Sequence[Record]], metrics: Sequence[str]) -> Iterator[Column]:
    for records in runs:
        name = f" {records[0].compute_type}" if len(runs) > 1 else ""
        for metric in metrics:
            yield f"{_said(metric)}{name}", {record.lang: record.scores[metric] for record in records}


def _differences(runs: Sequence[Sequence[Record]], metric: str) -> Iterator[Column]:
    before = {record.lang: record.scores[metric] for record in runs[0]}
    for records in runs[1:]:
        differences = {record.lang: record.scores[metric] - before[record.lang] for record in records}
        yield f"{_said(metric)} {records[0].compute_type} - {runs[0][0].compute_type}", differences


def _baseline(records: Sequence[Record], metrics: Sequence[str]) -> Iterator[Column]:
    for metric in metrics:
        if found := {record.lang: record.baseline[metric] for record in records if metric in record.baseline}:
            yield f"{_said(metric)} BASELINE", found


def _sums(n_languages: int, columns: Sequence[Column]) -> Iterator[list[str]]:
    sums = [summary(list(of.values())) for _, of in columns]
    for name, field in (("mean", "mean"), ("std", "deviation"), ("lowest", "least"), ("highest", "greatest")):
        cells = [f"{getattr(each, field):.1f}" for each in sums]
        yield [f"= {name} of {n_languages}", "", *cells]


def _said(metric: str) -> str:
    return metric.upper().replace("_", " ")
