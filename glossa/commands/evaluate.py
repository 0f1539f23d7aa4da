"""`glossa evaluate`: measures a model on a published data set, by the engine in this process.

It needs neither AWS nor Ray. Files are read and the head is chosen before torch is imported.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import click

from functions.pipeline.pipeline import Pipeline
from glossa.commands.answers.run import load
from glossa.commands.arguments import (
    catalog_option,
    examples,
    model_option,
    open_catalog,
    parameters_option,
    read_parameters,
)
from glossa.evaluation.datasets.dataset import Dataset, Wanted, read_languages
from glossa.evaluation.datasets.registry import DATASETS, dataset_named
from glossa.evaluation.examples import LanguageData
from glossa.evaluation.heads import Chosen, choose
from glossa.evaluation.measures import MEASURES
from glossa.evaluation.precision import AS_CATALOG, COMPUTE_TYPES, described, in_precision
from glossa.evaluation.readers.conll import Words
from glossa.evaluation.readers.files import split_of
from glossa.evaluation.results import Record, read, write
from glossa.evaluation.runner import Ask, Run, asking, measure
from glossa.evaluation.table import print_table
from glossa.tokenizer_build.checkpoints import tokenizer_of
from shared.catalog import Catalog

EPILOG = examples(
    "glossa evaluate --dataset sib200 --data path/to/sib200 --lang deu_Latn --lang swh_Latn",
    "glossa evaluate --dataset xnli --data path/to/xnli --model my-model --limit 200 --out results.json",
).replace("Examples:", "docs/evaluate.md names the files of each data set, its metric, source and licence.\nExamples:")


@click.command("evaluate", help="Measure a model on a published data set, for each language.", epilog=EPILOG)
@catalog_option
@model_option
@click.option("--dataset", "name", required=True, metavar="NAME", help=f"One of {', '.join(DATASETS)}.")
@click.option("--data", "folder", type=click.Path(path_type=Path), required=True, help="The folder with its files.")
@click.option("--split", default="test", show_default=True, metavar="SPLIT", help="train, dev or test.")
@click.option("--lang", "langs", multiple=True, help="Only this language; repeatable.")
@click.option("--limit", type=click.IntRange(min=1), help="Only so many examples of each language, the first ones.")
@click.option(
    "--compute-type",
    "compute_types",
    multiple=True,
    type=click.Choice(COMPUTE_TYPES),
    default=[AS_CATALOG],
    help="What the model is computed in; repeatable, to compare. Default: as the catalog says.",
)
@click.option("--label", "labels", multiple=True, metavar="GOLD=LABEL", help="How the head names a label; repeatable.")
@click.option(
    "--words",
    type=click.Choice(["spaced", "written"]),
    help="Entities: words with spaces between them, as papers do, or the text as it was written. Default: spaced.",
)
@parameters_option
@click.option("--out", type=click.Path(path_type=Path), help="The file of results. A stopped run goes on there.")
def evaluate_command(
    *, catalog_path: Path, name: str, langs: Sequence[str], labels: Sequence[str], **given: Any
) -> int:
    """Run the command; return its exit code. Its other options are the fields of Options."""
    given["parameters"] = read_parameters(given["parameters"])
    dataset, words = dataset_named(name), given.pop("words")
    if words is not None and dataset.kind != "entities":
        raise ValueError(f"got --words {words}, expected none: only data sets of entities have it, and {name} has not")
    options = Options(dataset, langs=langs, labels=_pairs(labels), words=words or "spaced", **given)
    return evaluate(open_catalog(catalog_path), catalog_path.parent, options, sys.stdout)


@dataclass(frozen=True, slots=True)
class Options:
    """What is measured, as the command line says it. `labels` has the head's names for labels of the data."""

    dataset: Dataset
    folder: Path
    model: str | None = None
    split: str = "test"
    langs: Sequence[str] = ()
    limit: int | None = None
    compute_types: Sequence[str] = (AS_CATALOG,)
    labels: Mapping[str, str] = field(default_factory=dict)
    words: Words = "spaced"
    parameters: Mapping[str, object] = field(default_factory=dict)
    out: Path | None = None

    @property
    def used_split(self) -> str:
        """The split that is read, by our name for it; `all` of a data set without splits."""
        return split_of(self.split) if self.dataset.has_splits else "all"


def evaluate(catalog: Catalog, root: Path, options: Options, out: TextIO) -> int:
    """Measure what the options ask for, and print the table to `out`; return 0.

    Records go to the file of results one by one. Raises GlossaError or ValueError for wrong options, ill-formed data,
    and a model that cannot be measured or loaded.
    """
    known = read(options.out)
    data = _data(options)
    chosen = choose(options.dataset, data, catalog, options.model, options.labels)
    if chosen.missing:
        print(f"{chosen.reference} has no tag for {', '.join(chosen.missing)}: they count as missed", file=sys.stderr)
    runs = [_run(options, chosen, kind) for kind in options.compute_types]
    runs = list({run.model_digest: run for run in runs}.values())
    found = [_records(run, data, known, partial(_asks, run, catalog, root), options) for run in runs]
    kinds = ", ".join(run.compute_type for run in runs)
    print(f"{options.dataset.title}; {options.used_split}; {chosen.reference}; {kinds}", file=out)
    print_table(found, options.dataset.metrics, out)
    return 0


def _data(options: Options) -> list[LanguageData]:
    wanted = Wanted(options.folder, options.used_split, options.langs, options.words)
    data = read_languages(options.dataset, wanted)
    return [replace(each, examples=each.examples[: options.limit]) for each in data]


def _run(options: Options, chosen: Chosen, kind: str) -> Run:
    precise = replace(chosen, model=in_precision(chosen.model, kind))
    measured = MEASURES[options.dataset.kind]
    return Run(
        options.dataset.name, options.used_split, measured, precise, described(precise.model), options.parameters
    )


def _records(
    run: Run, data: Sequence[LanguageData], known: dict[str, Record], asks: Callable[[], Ask], options: Options
) -> list[Record]:
    """Measure each language, and write each record as soon as it is there.

    Known records without one of the metrics are measured again: an older version wrote them.
    """
    records: list[Record] = []
    whole = {key: record for key, record in known.items() if set(options.dataset.metrics) <= set(record.scores)}
    for record in measure(run, data, whole, asks):
        is_new = record.key not in whole
        records.append(record)
        known[record.key] = record
        if is_new:
            write(options.out, known)
            print(_line(record, options.dataset.metrics[0], len(records), len(data)), file=sys.stderr)
    return records


def _asks(run: Run, catalog: Catalog, root: Path) -> Ask:
    """Load the model, and return the function that asks it."""
    model = run.chosen.model
    own = catalog.model_copy(update={"models": {**catalog.models, model.name: model}})
    return asking(run, Pipeline(own, {model.name: tokenizer_of(model, root)}), load(model, root))


def _line(record: Record, metric: str, place: int, n_languages: int) -> str:
    unread = f", {record.n_unanswered} without an answer" if record.n_unanswered else ""
    figure = f"{metric} {record.scores[metric]:.1f}"
    where = f"{place} of {n_languages}, {record.compute_type}"
    return f"{record.lang}: {figure} of {record.n_examples} in {record.seconds:.1f} s{unread} ({where})"


def _pairs(texts: Sequence[str]) -> dict[str, str]:
    """Read `gold=label` pairs. Raises ValueError."""
    found = {}
    for text in texts:
        gold, equals, label = text.partition("=")
        if not equals or not gold or not label:
            raise ValueError(f"got --label {text!r}, expected GOLD=LABEL")
        found[gold] = label
    return found
