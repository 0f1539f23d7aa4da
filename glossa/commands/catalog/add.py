"""`glossa catalog add`: appends a checkpoint to the catalog. Must not know how the model is served."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, get_args

import click

from functions.tokenizers.load import read_tokenizer
from glossa.commands import catalog_file
from glossa.commands.arguments import catalog_option
from glossa.commands.catalog.description import choose_heads, entry_facts
from glossa.commands.catalog.options import EntryOptions, speed_option, storage_options
from glossa.commands.catalog.speed import measure_or_hint
from glossa.tokenizer_build.checkpoints import artifact_of, check_like_reference, folder_of
from shared.catalog import SizeClass

CHECKOUT = Path(__file__).resolve().parents[3]


@click.command("add", help="Append a checkpoint to the catalog: a folder, s3://bucket/prefix or hub:name@revision.")
@catalog_option
@click.argument("checkpoint", metavar="FOLDER")
@click.option("--name", required=True, help="How requests will name it: a-z 0-9 . _ -")
@click.option("--head", "heads", multiple=True, help="Serve only this head or task; repeatable.")
@click.option("--default", "defaults", multiple=True, metavar="HEAD", help="The default head of its task; repeatable.")
@speed_option
@click.option("--size-class", type=click.Choice(get_args(SizeClass)), help="Default: base.")
@click.option("--lane", type=click.Choice(get_args(SizeClass)), hidden=True)
@click.option("--languages", help="A line for people: what it was trained on.")
@storage_options
@click.option("--int8-embeddings", is_flag=True, help="Store the rows of the word embeddings in 8 bits.")
def add_command(*, catalog_path: Path, checkpoint: str, lane: SizeClass | None, **given: Any) -> int:
    """Run the command; return its exit code. Its other options are the fields of EntryOptions."""
    options = EntryOptions(**_with_size_class(given, lane))
    print(add(catalog_path, checkpoint, options), end="")
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


def add(path: Path, reference: str, options: EntryOptions) -> str:
    """Append the entry of a checkpoint to the catalog at `path`, and return the entry.

    Its `tokens_per_s` is the caller's, else it is measured on this machine. Raises ValueError or CheckpointError when
    the checkpoint cannot be served exactly, or when the name is taken.
    """
    from serve.models.checkpoint_facts import checkpoint_facts  # noqa: PLC0415 - imports torch

    remote = reference.startswith(("s3:", "hub:"))
    folder = folder_of(reference, path.parent if remote else Path())
    facts = checkpoint_facts(folder)
    tokenizer = read_tokenizer(artifact_of(folder))
    if tokenizer.vocab_size > facts.vocab_size:
        raise ValueError(f"the tokenizer has {tokenizer.vocab_size} ids, the model rows for {facts.vocab_size}")
    check_like_reference(tokenizer, folder)
    checkpoint = reference if remote else _relative(folder, path.parent)
    said, heads = entry_facts(facts, checkpoint, tokenizer, options), choose_heads(facts.heads, options)
    catalog_file.check_free(path, options.name)
    model = catalog_file.parse_entry(options.name, catalog_file.entry_text(options.name, said, heads))
    said["tokens_per_s"] = options.tokens_per_s or measure_or_hint(model, path.parent)
    entry = catalog_file.entry_text(options.name, said, heads)
    catalog_file.append(path, options.name, entry)
    return entry


def _relative(folder: Path, root: Path) -> str:
    """Return a folder as the catalog writes it: relative if it lies below the catalog, else absolute."""
    found = os.path.relpath(folder.resolve(), root.resolve())
    return str(folder.resolve()) if found.startswith("..") else Path(found).as_posix()
