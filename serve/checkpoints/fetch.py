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
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from serve.checkpoints.read import BESIDE, INDEX, SINGLE, CheckpointError, no_weights, weight_files

WANTED = (SINGLE, INDEX, "model-*-of-*.safetensors", *BESIDE)


HUB = re.compile(r"hub:(?P<name>[\w.-]+(?:/[\w.-]+)?)@(?P<revision>[0-9a-f]{40})")


S3 = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(?P<prefix>.*?)/?")

# What `glossa weights push` writes: the same key never holds other bytes
PINNED = re.compile(r"(?P<model>models/[^/]+)/[0-9a-f]{32}")
KEPT_STATES = 2  # of one model: the newest, and the one before it, which a replica may still be reading
PARTIAL, STALE_S = "partial-", 24 * 3600.0  # an unfinished download that is older belongs to a process that has ended


@dataclass(frozen=True, slots=True)
class S3Object:
    """What a listing says of an object."""

    etag: str
    size_bytes: int


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
    """Download the wanted objects that lie directly under the prefix, unless the cache has them.

    When a new state of a model is complete, all but its KEPT_STATES last used ones are removed.
    """
    match = S3.fullmatch(reference)
    if match is None or not match["prefix"]:
        raise CheckpointError(f"got checkpoint {reference!r}, expected s3://bucket/prefix")
    import boto3  # noqa: PLC0415 - slow, and only s3: references need it
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - slow, and only s3: references need it

    bucket, prefix = match["bucket"], match["prefix"]
    try:
        client = boto3.client("s3")
        listed = _list_s3(client, bucket, prefix + "/")
        wanted = {name: facts for name, facts in listed.items() if any(Path(name).match(want) for want in WANTED)}
        if SINGLE not in wanted and INDEX not in wanted:
            raise no_weights(reference, listed)
        target = cache / _state_folder(bucket, prefix, wanted)
        is_new = not target.is_dir()
        if is_new:
            _download_s3(client, bucket, prefix, list(wanted), target)
        with suppress(OSError):  # a folder of another user is read all the same, and another process may tidy too
            target.touch()  # so that the states used last are known
            if is_new:
                _remove_old(target.parent)
    except (BotoCoreError, ClientError) as error:
        raise CheckpointError(f"{reference} cannot be fetched: {error}") from None
    return target


def _state_folder(bucket: str, prefix: str, wanted: Mapping[str, S3Object]) -> Path:
    """Return the folder of one state of a model, below the folder of all its states.

    Under a prefix that holds a digest, names and sizes tell whether the download is complete. Entity tags would not
    do: under SSE-KMS they change when the same bytes are uploaded again. Any other prefix has nothing but its tags.
    """
    pinned = PINNED.fullmatch(prefix)
    facts = [(name, each.size_bytes if pinned else each.etag) for name, each in sorted(wanted.items())]
    model = f"{bucket}/{pinned['model'] if pinned else prefix}"
    return Path(_short_hash(model)) / _short_hash(json.dumps([bucket, prefix, facts]))


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _list_s3(client: object, bucket: str, prefix: str) -> dict[str, S3Object]:
    """Return each object directly under `prefix`, by object name."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")  # type: ignore[attr-defined] # boto3 makes clients at run time
    items = [item for page in pages for item in page.get("Contents", ())]
    return {item["Key"].removeprefix(prefix): S3Object(item["ETag"], int(item["Size"])) for item in items}


def _download_s3(client: object, bucket: str, prefix: str, names: Iterable[str], target: Path) -> None:
    """Download into a temporary folder, then rename it to `target`.

    Other processes therefore never see a partial checkpoint.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=target.parent))
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


def _remove_old(states: Path) -> None:
    """Remove the states of a model that were not used lately, and downloads that nobody finishes.

    A state gets another name first, so that no process takes a half removed folder for a checkpoint. A process that
    has its files open goes on. Raises OSError when another process does the same; what is left is removed next time.
    """
    used = sorted(((path.stat().st_mtime, path) for path in states.iterdir()), reverse=True)
    for at_s, path in used:
        if path.name.startswith(PARTIAL) and at_s < time.time() - STALE_S:
            shutil.rmtree(path, ignore_errors=True)
    complete = [path for _, path in used if not path.name.startswith(PARTIAL)]
    for path in complete[KEPT_STATES:]:
        shutil.rmtree(path.rename(path.with_name(f"{PARTIAL}{path.name}")), ignore_errors=True)
