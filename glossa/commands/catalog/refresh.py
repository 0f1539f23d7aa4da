"""`glossa catalog refresh`: takes over the new files of a model. Must not know how the model is served."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import click

from glossa.commands import catalog_file
from glossa.commands.arguments import catalog_option
from glossa.commands.catalog.options import speed_option
from glossa.commands.catalog.speed import measure_speed
from glossa.tokenizer_build.checkpoints import artifact_of, folder_of
from shared.catalog import load_catalog


@click.command(
    "refresh", help="Rewrite a model's sha256 digests from its files, and its tokens_per_s as measured on this machine."
)
@catalog_option
@click.argument("name")
@speed_option
def refresh_command(*, catalog_path: Path, name: str, tokens_per_s: float | None) -> int:
    """Run the command; return its exit code."""
    changed = refresh(catalog_path, name, tokens_per_s)
    print(f"{name}: {', '.join(changed) or 'nothing'} changed")
    return 0


def refresh(path: Path, name: str, tokens_per_s: float | None = None) -> list[str]:
    """Rewrite the digests and the speed of a model; return the names of those that changed.

    The speed is `tokens_per_s`, else it is measured on this machine. Raises CheckpointError when the checkpoint no
    longer fits the entry.
    """
    from serve.checkpoints.verify import config_sha256, weights_sha256  # noqa: PLC0415 - imports torch

    model = load_catalog(path).model(name)
    folder = folder_of(model.checkpoint, path.parent)
    digests = {
        "weights_sha256": weights_sha256(folder),
        "config_sha256": config_sha256(folder),
        "tokenizer_sha256": sha256(artifact_of(folder)).hexdigest(),
    }
    speed = tokens_per_s or measure_speed(model.model_copy(update=digests), path.parent)
    return catalog_file.rewrite(path, name, {**digests, "tokens_per_s": speed})
