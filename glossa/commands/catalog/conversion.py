"""The options --convert and --merge of `glossa catalog add`: they make a folder that can be added of one that cannot.

Must not know how a folder is converted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from glossa.commands.arguments import F
from glossa.commands.catalog.progress import SILENT, Progress
from glossa.tokenizer_build.checkpoints import folder_of


@dataclass(frozen=True, slots=True)
class Conversion:
    """What the caller wants to be done to a checkpoint first. `merge` is the base of the adapter that is added."""

    convert: bool = False
    merge: str | None = None
    out: Path | None = None


def conversion_options(command: F) -> F:
    """Add --convert, --merge and --out."""
    text = "The new folder of --convert or --merge. Default: beside FOLDER, or below checkpoints for a download."
    command = click.option("--out", type=click.Path(path_type=Path), metavar="FOLDER", help=text)(command)
    text = "FOLDER is a LoRA adapter: merge it into the checkpoint BASE, and add the result."
    command = click.option("--merge", metavar="BASE", help=text)(command)
    text = "Read pytorch_model.bin in a process of its own, write safetensors to a new folder, and add that."
    return click.option("--convert", is_flag=True, help=text)(command)


def converted(reference: str, root: Path, name: str, wanted: Conversion, progress: Progress = SILENT) -> str:
    """Return the reference to add: the given one, or the new folder that was made of it.

    `root` is the catalog's folder. Raises ValueError for options that contradict each other, and CheckpointError when
    the folder cannot be converted.
    """
    if wanted.convert and wanted.merge is not None:
        raise ValueError("got --convert and --merge, expected one of them")
    if not wanted.convert and wanted.merge is None:
        if wanted.out is not None:
            raise ValueError("got --out alone, expected it with --convert or --merge")
        return reference
    remote = reference.startswith(("s3:", "hub:"))
    if not remote:
        folder_of(reference, Path())  # one that is not there is refused before a line of progress
    out = wanted.out or (root / "checkpoints" / name if remote else None)
    if wanted.merge is not None:
        from glossa.checkpoint_conversion.merge import merge  # noqa: PLC0415 - imports torch

        progress.stage(f"merging {reference} into {wanted.merge}")
        return str(merge(_folder(reference, root), _folder(wanted.merge, root), out))
    from glossa.checkpoint_conversion.convert import convert  # noqa: PLC0415 - imports torch

    progress.stage(f"converting {reference}")
    return str(convert(_folder(reference, root, with_pickles=True), out))


def _folder(reference: str, root: Path, *, with_pickles: bool = False) -> Path:
    """Return the folder of a checkpoint; local ones are relative to the working directory, as `add` takes them."""
    if not reference.startswith(("s3:", "hub:")):
        return folder_of(reference, Path())
    from serve.checkpoints.fetch import fetch  # noqa: PLC0415 - imports torch

    return fetch(reference, root, with_pickles=with_pickles, asks_hub=True)
