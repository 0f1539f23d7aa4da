"""`glossa head train`: trains a head on labels, prints what it is worth, and adds it to the catalog.

Must not know how a head is fitted. torch is imported after everything that needs no model was checked.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from glossa.commands import catalog_file
from glossa.commands.arguments import CATALOG, catalog_option, open_catalog
from glossa.commands.catalog.add import add, where_served
from glossa.commands.catalog.options import EntryOptions
from glossa.commands.catalog.progress import SILENT, Progress
from glossa.head_training.data.read import TASKS
from glossa.head_training.options import Checked, TrainOptions, check_options
from shared.catalog import Head

if TYPE_CHECKING:
    from glossa.head_training.train import Result

HELP = """\
Train a head on labels of your own, print what it is worth on rows it has not seen, and add it to the catalog.

The file is CSV, TSV (both with a header), JSON Lines or CoNLL. Its columns:

\b
text-classification       text, label; or text, labels (several: a list, or a|b); text_pair for pairs
token-classification      text, spans ([[start, end, label], ...]); or tokens, tags (B-PER I-PER O)
zero-shot-classification  premise, hypothesis, label, of which one begins with "entail"
rerank                    query, document, score (a higher one is better)
sentence-similarity       sentence1, sentence2, score; needs --unfreeze

Rows may also have lang, for figures by language, and group: rows of one group are never on both sides of the split.
"""
EXAMPLES = """\
\b
Examples:
  glossa head train --model mini --task text-classification --data labels.csv --name intents
  glossa head train --model mini --task text-classification --data mails.tsv --column text=body --column label=queue \\
      --kind linear --name queues
  glossa head train --model mini --task token-classification --data names.jsonl --held-out dev.jsonl --name names
  glossa head train --model mini --task text-classification --data labels.csv --unfreeze 2 --name intents-model
Then:
  echo "When does it arrive?" | glossa run --task text-classification --model mini:intents
"""


class Columns(click.ParamType[tuple[str, str]]):
    """Our name of a column, and the file's."""

    name = "column"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Return both names; refuse what is not OURS=THEIRS."""
        ours, equals, theirs = str(value).partition("=")
        if not equals or not ours or not theirs:
            self.fail(f"got {value!r}, expected OURS=YOURS, such as text=body", param, ctx)
        return ours, theirs


@click.command("train", help=HELP, epilog=EXAMPLES)
@catalog_option
@click.option("--model", required=True, help="The model of the catalog whose backbone it reads.")
@click.option("--task", required=True, type=click.Choice(TASKS), help="What the head answers.")
@click.option("--data", required=True, type=click.Path(path_type=Path), metavar="FILE", help="The labelled texts.")
@click.option("--name", required=True, help="How requests name it: MODEL:NAME. With --unfreeze: the new model.")
@click.option(
    "--kind", type=click.Choice(["family", "linear"]), help="family: dense, tanh and projection of `<s>`, which "
    "transformers loads by itself; linear: one layer on mean vectors. Default: the better one.",
)  # fmt: skip
@click.option(
    "--column",
    "columns",
    multiple=True,
    type=Columns(),
    metavar="OURS=YOURS",
    help="A column by your name; repeatable.",
)
@click.option(
    "--held-out", type=click.Path(path_type=Path), metavar="FILE", help="Rows to judge it on, in place of --share."
)
@click.option("--share", type=float, default=0.2, show_default=True, help="The part of the rows that is held out.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed and rows give the same head.")
@click.option("--no-balance", "balance", flag_value=False, default=True, help="Do not let rare labels count more.")
@click.option("--unfreeze", type=int, default=0, metavar="N", help="Train the last N layers too: a model of its own.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FOLDER", help="Default: checkpoints/MODEL-NAME.")
@click.option("--default", is_flag=True, help="Make it the default head of its task.")
@click.option("--replace", is_flag=True, help="Train a head of this name anew.")
def train_command(*, catalog_path: Path, columns: Sequence[tuple[str, str]], **given: Any) -> int:
    """Run the command; return its exit code. Its other options are the fields of TrainOptions."""
    options = TrainOptions(columns=dict(columns), **given)
    progress = Progress(sys.stderr)
    try:
        result = train(catalog_path, options, progress)
    finally:
        progress.done()
    from glossa.head_training.judging.report import lines  # noqa: PLC0415 - only a trained head is shown

    print("\n".join(lines(result.facts, result.judgement)))
    for warning in result.warnings:
        print(f"glossa: {warning}", file=sys.stderr)
    print(f"\n{result.out} holds the head, its figures and, for labels, a picture of its confusions", file=sys.stderr)
    print(f"{catalog_path} has {result.reference} now; {where_served(catalog_path)}", file=sys.stderr)
    print(f"try it: {try_line(catalog_path, options.task, result.reference)}   # then type a line", file=sys.stderr)
    return 0


def try_line(path: Path, task: str, reference: str) -> str:
    """Return the command that asks a head of the catalog at `path`, from the folder in which this one runs."""
    catalog = "" if str(path) == CATALOG else f" --catalog {shlex.quote(str(path))}"
    return f"glossa run --task {task} --model {reference}{catalog}"


def train(path: Path, options: TrainOptions, progress: Progress = SILENT) -> Result:
    """Train a head over a model of the catalog at `path`, and add it there.

    Raises ValueError for wrong options before anything is read, for rows that cannot be read, and for too few of them.
    """
    checked = check_options(options, open_catalog(path), path.parent)
    catalog_file.check_writable(path)
    if options.unfreeze:
        return _train_model(path, options, checked, progress)
    from glossa.head_training.train import train_head  # noqa: PLC0415 - imports torch

    result = train_head(options, checked, path.parent, progress)
    add_head(path, options, checked, result.head.model_copy(update={"checkpoint": _relative(result.out, path.parent)}))
    return result


def _train_model(path: Path, options: TrainOptions, checked: Checked, progress: Progress) -> Result:
    """Train a model of its own, and add it to the catalog with the precision and languages of the one it began as."""
    from glossa.head_training.train_model import train_model  # noqa: PLC0415 - imports torch

    model = checked.model
    result = train_model(options, checked, path.parent, progress)
    added = EntryOptions(
        options.name, dtype=model.dtype, size_class=model.size_class, languages=model.languages or None
    )
    add(path, str(result.out), added, progress)
    return result


def add_head(path: Path, options: TrainOptions, checked: Checked, head: Head) -> None:
    """Write a head into the entry of its model. If it is the default of its task, no other head is."""
    model = open_catalog(path).model(checked.model.name)  # the file may have changed while the head was trained
    heads = {
        name: each.model_copy(update={"default": False}) if head.default and each.task == head.task else each
        for name, each in model.heads.items()
    }
    catalog_file.rewrite(path, model.name, {}, heads | {options.name: head})


def _relative(folder: Path, root: Path) -> str:
    """Return a folder as the catalog writes it: relative if it lies below the catalog, else absolute."""
    found = os.path.relpath(folder.resolve(), root.resolve())
    return str(folder.resolve()) if found.startswith("..") else Path(found).as_posix()
