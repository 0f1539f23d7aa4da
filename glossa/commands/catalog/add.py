"""`glossa catalog add`: appends a checkpoint to the catalog. Must not know how the model is served."""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import click

from glossa.commands import catalog_file
from glossa.commands.arguments import catalog_option, examples
from glossa.commands.catalog.conversion import Conversion, conversion_options, converted
from glossa.commands.catalog.description import choose_heads, describe, heads_of
from glossa.commands.catalog.options import EntryOptions, speed_options, storage_options
from glossa.commands.catalog.progress import SILENT, Progress
from glossa.commands.catalog.report import report
from glossa.commands.catalog.speed import measure_speed
from glossa.tokenizer_build.checkpoints import folder_of
from shared.catalog import MODEL_NAME, Head, Model, SizeClass

CHECKOUT = Path(__file__).resolve().parents[3]
SOME_DIGEST = "0" * 64
# what an entry needs before its folder is read, so that the caller's own choices can be checked
UNREAD: dict[str, catalog_file.Value] = {
    "family": "xlm-roberta", "checkpoint": "unread", "weights_sha256": SOME_DIGEST, "tokenizer_sha256": SOME_DIGEST,
    "max_tokens": 8, "vocab_size": 8,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Added:
    """A model that the catalog has now: its TOML, and the lines that people read."""

    entry: str
    lines: list[str]


@click.command(
    "add",
    help="Append a checkpoint to the catalog: a folder, s3://bucket/prefix or hub:name@revision.",
    epilog=examples(
        "glossa catalog add path/to/checkpoint --name my-model",
        "glossa catalog add hub:intfloat/multilingual-e5-small@main --name e5 --dtype bfloat16",
        "glossa catalog add path/to/old-checkpoint --name old --convert",
    ),
)
@catalog_option
@click.argument("checkpoint", metavar="FOLDER")
@click.option("--name", required=True, help="How requests will name it: a-z 0-9 . _ -")
@click.option("--head", "heads", multiple=True, help="Serve only this head or task; repeatable.")
@click.option("--default", "defaults", multiple=True, metavar="HEAD", help="The default head of its task; repeatable.")
@speed_options
@click.option("--size-class", type=click.Choice(get_args(SizeClass)), help="Default: base.")
@click.option("--lane", type=click.Choice(get_args(SizeClass)), hidden=True)
@click.option("--languages", help="A line for people: what it was trained on.")
@storage_options
@click.option("--int8-embeddings", is_flag=True, help="Store the rows of the word embeddings in 8 bits.")
@conversion_options
@click.option("--print-entry", is_flag=True, help="Print the entry as TOML instead of its facts in plain lines.")
def add_command(*, catalog_path: Path, checkpoint: str, lane: SizeClass | None, print_entry: bool, **given: Any) -> int:
    """Run the command; return its exit code. Its other options are the fields of EntryOptions."""
    conversion = Conversion(given.pop("convert"), given.pop("merge"), given.pop("out"))
    options = EntryOptions(**_with_size_class(given, lane))
    check_choices(catalog_path, options)
    progress = Progress(sys.stderr)
    try:
        reference = converted(checkpoint, catalog_path.parent, options.name, conversion, progress)
        added = add(catalog_path, reference, options, progress)
    finally:
        progress.done()
    print(added.entry if print_entry else "\n".join(added.lines), end="" if print_entry else "\n")
    print(f"{catalog_path} has {options.name} now; {where_served(catalog_path)}", file=sys.stderr)
    return 0


def _with_size_class(given: dict[str, Any], lane: SizeClass | None) -> dict[str, Any]:
    """Take the value of --lane, the old name of --size-class, with a warning."""
    if lane is None:
        return given
    if given["size_class"] is not None:
        raise ValueError("got --lane and --size-class, expected --size-class alone: --lane is its old name")
    print("glossa: --lane is the old name of --size-class", file=sys.stderr)
    return given | {"size_class": lane}


def where_served(catalog_path: Path) -> str:
    """Return where the models of a catalog can be used. Only the catalog of the checkout is served."""
    if catalog_path.resolve() == CHECKOUT / "catalog.toml":
        return "`make run` serves it on this machine, a deployment serves it on AWS"
    own = CHECKOUT / "catalog.toml"
    return f"`glossa run --catalog {catalog_path}` uses it; the models that are served are those of {own}"


def add(path: Path, reference: str, options: EntryOptions, progress: Progress = SILENT) -> Added:
    """Append the entry of a checkpoint to the catalog at `path`.

    Its `tokens_per_s` is the caller's, else it is measured on this machine. What is wrong with the caller's choices is
    said before anything is downloaded, and an unknown head before weights are read. Raises ValueError or
    CheckpointError when the checkpoint cannot be served exactly, or when the name is taken.
    """
    check_choices(path, options)
    remote = reference.startswith(("s3:", "hub:"))
    own = None if remote else folder_of(reference, Path())  # one that is not there is refused before a line of progress
    progress.stage(f"{'fetching and ' if remote else ''}reading {reference}")
    folder = own or folder_of(reference, path.parent, asks_hub=True)
    choose_heads(heads_of(folder), options)
    found = describe(folder)
    said = {**found.entry, "checkpoint": reference if remote else _relative(folder, path.parent), **options.facts}
    said = {"family": said.pop("family"), "checkpoint": said.pop("checkpoint"), **said}  # as people look for them
    heads = choose_heads(found.facts.heads, options)
    model = _model_of(options.name, said, heads)
    if options.measure and options.tokens_per_s is None:
        said["tokens_per_s"] = measure_speed(model, path.parent, progress)
        model = _model_of(options.name, said, heads)
    entry = catalog_file.entry_text(options.name, said, heads)
    catalog_file.append(path, options.name, entry)
    return Added(entry, report(model, found.facts))


def check_choices(path: Path, options: EntryOptions) -> None:
    """Raise ValueError for what is wrong with a name, a catalog or options, whatever the checkpoint is."""
    if not re.fullmatch(MODEL_NAME, options.name):
        raise ValueError(
            f"got --name {options.name!r}, expected 1 to 63 of a-z 0-9 . _ -, the first a letter or a digit"
        )
    catalog_file.check_writable(path)
    catalog_file.check_free(path, options.name)
    if not _is_text(options.languages or ""):
        raise ValueError(f"got --languages {options.languages!a}, expected one line of text in UTF-8")
    _model_of(options.name, UNREAD | options.facts, {"embed": Head(task="feature-extraction")})


def _model_of(name: str, facts: dict[str, catalog_file.Value], heads: dict[str, Head]) -> Model:
    return catalog_file.parse_entry(name, catalog_file.entry_text(name, facts, heads))


def _is_text(line: str) -> bool:
    """Return whether a line can be stored and printed: control characters and bytes that are not UTF-8 cannot."""
    return all(char.isprintable() or unicodedata.category(char) in {"Zs", "Cf"} for char in line)


def _relative(folder: Path, root: Path) -> str:
    """Return a folder as the catalog writes it: relative if it lies below the catalog, else absolute.

    Raises ValueError for a name that a line of text cannot hold.
    """
    found = os.path.relpath(folder.resolve(), root.resolve())
    said = str(folder.resolve()) if found.startswith("..") else Path(found).as_posix()
    if not _is_text(said):
        raise ValueError(f"got folder {said!a}, expected a name in UTF-8 without control characters; rename it")
    return said
