"""Brings a checkpoint to a local folder.

A checkpoint comes from a local folder, from a pinned commit of the Hugging Face hub, or from S3. This is the only
module of the model side that reads the hub or S3. It must not know tensors, digests or the architecture of a family.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from serve.checkpoints.read import BESIDE, INDEX, SINGLE, CheckpointError, no_weights, weight_files

WANTED = (SINGLE, INDEX, "model-*-of-*.safetensors", *BESIDE)


HUB = re.compile(r"hub:(?P<name>[\w.-]+(?:/[\w.-]+)?)@(?P<revision>[0-9a-f]{40})")


S3 = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(?P<prefix>.*?)/?")


def fetch(reference: str, root: Path, *, download_folder: Path | None = None) -> Path:
    """Fetch a checkpoint to this machine and return its folder.

    `reference` is a folder (relative to `root`), `s3://bucket/prefix`, or `hub:name@revision`, where the revision is a
    commit of 40 hex digits. Downloads go to `download_folder`. By default, S3 downloads go to `root/build/weights`, and
    the hub library uses its own cache.

    Raises CheckpointError when the reference is malformed or cannot be fetched.
    """
    if reference.startswith("s3:"):
        return _fetch_s3(reference, download_folder or root / "build" / "weights")
    if reference.startswith("hub:"):
        return _fetch_hub(reference, download_folder)
    folder = root / reference
    if not folder.is_dir():
        raise CheckpointError(
            f"got checkpoint {reference!r}, expected a folder (also below {root}), s3://… or hub:name@…"
        )
    return folder


def _fetch_hub(reference: str, download_folder: Path | None) -> Path:
    match = HUB.fullmatch(reference)
    if match is None:
        raise CheckpointError(
            f"got checkpoint {reference!r}, expected hub:name@revision with a commit of 40 hex digits"
        )
    for offline in (True, False):  # a pinned commit never changes, so a local copy needs no network
        folder = _snapshot(match["name"], match["revision"], download_folder, offline=offline)
        if folder is not None:
            return folder
    raise CheckpointError(f"{reference} is not in the local hub cache and the hub cannot be reached")


def _snapshot(name: str, revision: str, download_folder: Path | None, *, offline: bool) -> Path | None:
    """Return the folder of the snapshot, or None when it is not cached (offline) or not reachable (online)."""
    import huggingface_hub  # noqa: PLC0415 - slow, and only hub: references need it
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError  # noqa: PLC0415 - slow, and only hub: references need it

    try:
        found = huggingface_hub.snapshot_download(
            name, revision=revision, allow_patterns=list(WANTED), local_files_only=offline, cache_dir=download_folder
        )
    except LocalEntryNotFoundError:
        return None
    except HfHubHTTPError as error:
        raise CheckpointError(f"hub:{name}@{revision} cannot be fetched: {error}") from None
    folder = Path(found)
    return None if offline and not _complete(folder) else folder


def _complete(folder: Path) -> bool:
    try:
        return bool(weight_files(folder)) and (folder / "config.json").is_file()
    except CheckpointError:
        return False


def _fetch_s3(reference: str, cache: Path) -> Path:
    """Download the wanted objects that lie directly under the prefix.

    The folder in the cache is named after the objects' entity tags. A prefix whose objects changed is downloaded again.
    """
    match = S3.fullmatch(reference)
    if match is None or not match["prefix"]:
        raise CheckpointError(f"got checkpoint {reference!r}, expected s3://bucket/prefix")
    import boto3  # noqa: PLC0415 - slow, and only s3: references need it
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - slow, and only s3: references need it

    try:
        client = boto3.client("s3")
        listed = _list_s3(client, match["bucket"], match["prefix"] + "/")
        wanted = {name: facts for name, facts in listed.items() if any(Path(name).match(want) for want in WANTED)}
        if SINGLE not in wanted and INDEX not in wanted:
            raise no_weights(reference, listed)
        state = hashlib.sha256(json.dumps([reference, sorted(wanted.items())]).encode()).hexdigest()[:32]
        return _download_s3(client, match["bucket"], match["prefix"], list(wanted), cache / state)
    except (BotoCoreError, ClientError) as error:
        raise CheckpointError(f"{reference} cannot be fetched: {error}") from None


def _list_s3(client: object, bucket: str, prefix: str) -> dict[str, str]:
    """Return the entity tag of each object directly under `prefix`, by object name."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")  # type: ignore[attr-defined] # boto3 makes clients at run time
    return {item["Key"].removeprefix(prefix): item["ETag"] for page in pages for item in page.get("Contents", ())}


def _download_s3(client: object, bucket: str, prefix: str, names: Iterable[str], target: Path) -> Path:
    """Download into a temporary folder, then rename it to `target`.

    Other processes therefore never see a partial checkpoint.
    """
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix="partial-", dir=target.parent))
    try:
        for name in names:
            client.download_file(bucket, f"{prefix}/{name}", str(partial / name))  # type: ignore[attr-defined] # boto3 makes clients at run time
        try:
            partial.rename(target)
        except OSError:
            if not target.is_dir():  # another process downloaded the same objects first
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target
