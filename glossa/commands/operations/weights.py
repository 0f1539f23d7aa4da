"""`glossa weights push`: copies the checkpoints of a catalog into the bucket that replicas read.

Must not know how a checkpoint is read.
"""

from __future__ import annotations

from pathlib import Path

import click

from glossa.commands.arguments import catalog_option, examples
from shared.catalog import Head, Model


@click.group("weights", help="Checkpoints in the bucket of weights.")
def weights_group() -> None:
    """Hold the commands below."""


@weights_group.command(
    "push",
    help="Copy the catalog's checkpoints, and write the catalog that replicas read.",
    epilog=examples("glossa weights push --bucket my-weights --region eu-central-1 --out build/replica-catalog.toml"),
)
@catalog_option
@click.option("--bucket", required=True, help="The bucket of weights.")
@click.option("--region", required=True, help="Its region.")
@click.option("--out", "out_path", type=click.Path(path_type=Path), required=True, help="The catalog to write.")
@click.option(
    "--notes", "notes_path", type=click.Path(path_type=Path), help="A JSON file that takes the catalog's key."
)
def push_command(*, catalog_path: Path, bucket: str, region: str, out_path: Path, notes_path: Path | None) -> int:
    """Run the command; return its exit code. Raises ValueError when the bucket cannot be written."""
    from boto3.exceptions import S3UploadFailedError  # noqa: PLC0415 - slow, as boto3 is
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - slow, as boto3 is

    from glossa.deployment.programs.weights import push  # noqa: PLC0415 - imports tomlkit, which `--help` does not need
    from glossa.deployment.runner import note  # noqa: PLC0415 - only this command needs it
    from serve.checkpoints.head_files import read_head_tensors  # noqa: PLC0415 - imports torch
    from serve.checkpoints.verify import check_config, check_weights  # noqa: PLC0415 - imports torch

    def check(model: Model, folder: Path) -> None:
        check_weights(folder, model.weights_sha256)
        check_config(folder, model.config_sha256, model.name)

    def check_head(model: Model, head: Head, folder: Path) -> None:
        read_head_tensors(folder, head.weights_sha256, model.weights_sha256)

    try:
        key = push(catalog_path, bucket, region, out_path, print, check, check_head=check_head)
    except (BotoCoreError, ClientError, S3UploadFailedError) as error:
        raise ValueError(f"got bucket {bucket}, expected one that takes checkpoints: {error}") from None
    if notes_path is not None:
        note(notes_path, {"CatalogKey": key})
    return 0
