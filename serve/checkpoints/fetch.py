"""Brings a checkpoint to a local folder.

A checkpoint comes from a local folder, from a pinned commit of the Hugging Face hub, or from S3. This is the only
module of the model side that reads the hub or S3. It must not know tensors, digests or the architecture of a family.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from serve.checkpoints.downloads import PARTIAL, remove_old
from serve.checkpoints.files import (
    BESIDE,
    CONFIG,
    HEAD,
    INDEX,
    MODULES,
    PICKLE,
    PICKLE_INDEX,
    SINGLE,
    CheckpointError,
)
from serve.checkpoints.folders import module_folders, module_names, transformer_folder
from serve.checkpoints.read import no_weights, shard_names, weight_files
from shared.log import log_event

WEIGHTS = (SINGLE, INDEX, PICKLE, PICKLE_INDEX)  # one of them makes a checkpoint
WANTED = (SINGLE, INDEX, "model-*-of-*.safetensors", *BESIDE)
PICKLED = (PICKLE, "pytorch_model*.bin.index.json", "pytorch_model-*-of-*.bin", "sparse_linear.pt")
MODULE = "[0-9]*_*"  # the folder of a module of sentence-transformers; others are in MODULES

HUB = re.compile(r"hub:(?P<name>[\w.-]+(?:/[\w.-]+)?)@(?P<revision>[0-9a-f]{40})")

S3 = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(?P<prefix>.*?)/?")

# What `glossa weights push` writes: the same key never holds other bytes
PINNED = re.compile(r"(?P<model>models/[^/]+(?:/heads/[^/]+)?)/[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class S3Object:
    """What a listing says of an object."""

    etag: str
    size_bytes: int


def fetch(
    reference: str,
    root: Path,
    *,
    download_folder: Path | None = None,
    with_pickles: bool = False,
    asks_hub: bool = False,
) -> Path:
    """Fetch a checkpoint to this machine and return its folder.

    `reference` is a folder (relative to `root`), `s3://bucket/prefix`, or `hub:name@revision`, where the revision is a
    commit of 40 hex digits. Downloads go to `download_folder`. By default, S3 downloads go to `root/build/weights`, and
    the hub library uses its own cache. `with_pickles` also fetches the pickles that a conversion reads.
    Another program may have fetched a part of a commit into the cache of the hub library; with `asks_hub`, files that
    the part may lack are asked for, and a warning says when the hub cannot be reached. A loaded checkpoint needs no
    such question: its digest tells.

    Raises CheckpointError when the reference is malformed or cannot be fetched.
    """
    names = (*WANTED, *PICKLED) if with_pickles else WANTED
    wanted = (*names, *(f"{MODULE}/{name}" for name in names))
    if reference.startswith("s3:"):
        return _fetch_s3(reference, download_folder or root / "build" / "weights", wanted, WEIGHTS)
    if reference.startswith("hub:"):
        return _fetch_hub(reference, download_folder, wanted, asks_hub=asks_hub)
    folder = root / reference
    if folder.is_file():
        raise CheckpointError(f"{folder} is a file, expected the folder that holds it")
    if not folder.is_dir():
        raise CheckpointError(
            f"got checkpoint {reference!r}, expected a folder (also below {root}), s3://… or hub:name@…"
        )
    return folder


def fetch_head(reference: str, root: Path, *, download_folder: Path | None = None) -> Path:
    """Fetch the checkpoint of a head that was trained apart, and return its folder. Its backbone stays where it is.

    `reference` is a folder (relative to `root`) or `s3://bucket/prefix`. Raises CheckpointError as `fetch` does.
    """
    if reference.startswith("s3:"):
        return _fetch_s3(reference, download_folder or root / "build" / "weights", (HEAD,), (HEAD,))
    return fetch(reference, root, download_folder=download_folder)


def _fetch_hub(reference: str, download_folder: Path | None, wanted: Sequence[str], *, asks_hub: bool) -> Path:
    match = HUB.fullmatch(reference)
    if match is None:
        raise CheckpointError(
            f"got checkpoint {reference!r}, expected hub:name@revision with a commit of 40 hex digits"
        )
    cached = _snapshot(match["name"], match["revision"], download_folder, wanted, offline=True)
    if cached is not None and (_complete(cached) if asks_hub else _has_weights(cached)):
        return cached  # a pinned commit never changes, so a whole local copy needs no network
    folder = _snapshot(match["name"], match["revision"], download_folder, wanted, offline=False)
    if folder is not None and (others := [*_other_shards(folder), *_other_modules(folder, wanted)]):
        folder = _snapshot(match["name"], match["revision"], download_folder, others, offline=False)
    if folder is None and (cached is None or not _has_weights(cached)):
        raise CheckpointError(f"{reference} is not in the local hub cache and the hub cannot be reached")
    if asks_hub and not _answers(match["name"], match["revision"], download_folder):
        reason = f"{reference} is read from the local cache alone; files that it lacks, such as {MODULES}, do not count"
        log_event("hub-not-reached", level="warning", stream=sys.stderr, reason=reason)
    return folder or cached or Path()


def _answers(name: str, revision: str, download_folder: Path | None) -> bool:
    """Say whether it is known that a commit has modules.json, or that it has none. Its snapshot alone does not tell."""
    import huggingface_hub  # noqa: PLC0415 - slow, and only hub: references need it
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError  # noqa: PLC0415 - slow

    try:
        huggingface_hub.hf_hub_download(name, MODULES, revision=revision, cache_dir=download_folder)
    except LocalEntryNotFoundError:
        return False
    except (EntryNotFoundError, HfHubHTTPError):
        return True
    return True


def _snapshot(
    name: str, revision: str, download_folder: Path | None, wanted: Sequence[str], *, offline: bool
) -> Path | None:
    """Return the folder of the snapshot, or None when it is not cached (offline) or not reachable (online)."""
    import huggingface_hub  # noqa: PLC0415 - slow, and only hub: references need it
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError  # noqa: PLC0415 - slow, and only hub: references need it

    try:
        found = huggingface_hub.snapshot_download(
            name, revision=revision, allow_patterns=list(wanted), local_files_only=offline, cache_dir=download_folder
        )
    except LocalEntryNotFoundError:
        return None
    except HfHubHTTPError as error:
        raise CheckpointError(f"hub:{name}@{revision} cannot be fetched: {error}") from None
    return Path(found)


def _complete(folder: Path) -> bool:
    """Say whether nothing may be missing of a cached snapshot.

    Another program may have fetched it, and only what it needs. So one without modules.json may lack that file.
    """
    try:
        modules = [folder / name for name in module_folders(folder) if name]
    except CheckpointError:
        return False
    described = all((path / CONFIG).is_file() for path in modules if "Normalize" not in path.name)
    return (folder / MODULES).is_file() and described and _has_weights(folder)


def _has_weights(folder: Path) -> bool:
    try:
        return bool(weight_files(folder)) and (transformer_folder(folder) / CONFIG).is_file()
    except CheckpointError:
        return False


def _other_shards(folder: Path) -> list[str]:
    """Return the files that an index names and that were not fetched, because their names are unusual."""
    if (folder / SINGLE).is_file() or not (folder / INDEX).is_file():
        return []
    return [name for name in shard_names(folder) if not (folder / name).is_file()]


def _other_modules(folder: Path, patterns: Sequence[str]) -> list[str]:
    """Return patterns for the modules that were not fetched, because their names are unusual."""
    try:
        names = [name for name in module_folders(folder) if name and not fnmatchcase(name, MODULE)]
    except CheckpointError:  # whoever reads the folder refuses it
        return []
    return _within([name for name in names if not (folder / name).is_dir()], patterns)


def _within(modules: Sequence[str], patterns: Sequence[str]) -> list[str]:
    return [f"{module}/{pattern}" for module in modules for pattern in patterns if "/" not in pattern]


def _fetch_s3(reference: str, cache: Path, patterns: Sequence[str], needed: tuple[str, ...]) -> Path:
    """Download the wanted objects under the prefix and in the folders of its modules, unless the cache has them.

    There must be one whose name ends with a `needed` one. When a new state of a model is complete, all but its
    last used ones are removed.
    """
    match = S3.fullmatch(reference)
    if match is None or not match["prefix"]:
        raise CheckpointError(f"got checkpoint {reference!r}, expected s3://bucket/prefix")
    import boto3  # noqa: PLC0415 - slow, and only s3: references need it
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - slow, and only s3: references need it

    bucket, prefix = match["bucket"], match["prefix"]
    try:
        client = boto3.client("s3")
        listed = _list_s3(client, bucket, prefix + "/", [prefix + "/"])
        modules = _modules_s3(client, bucket, prefix + "/") if MODULES in listed else []
        listed |= _list_s3(client, bucket, prefix + "/", [f"{prefix}/{name}/" for name in modules])
        wanted = _wanted_of(listed, [*patterns, *_within(modules, patterns)])
        if not any(name.endswith(needed) for name in wanted):
            raise no_weights(reference, listed)
        target = cache / _state_folder(bucket, prefix, wanted)
        is_new = not target.is_dir()
        if is_new:
            _download_s3(client, bucket, prefix, list(wanted), target)
        with suppress(OSError):  # a folder of another user is read all the same, and another process may tidy too
            target.touch()  # so that the states used last are known
            if is_new:
                remove_old(target.parent)
    except (BotoCoreError, ClientError) as error:
        raise CheckpointError(f"{reference} cannot be fetched: {error}") from None
    return target


def _wanted_of(listed: Mapping[str, S3Object], patterns: Sequence[str]) -> dict[str, S3Object]:
    """Return the objects that a checkpoint needs. Shards may have any name, as the index says."""
    shards = () if SINGLE in listed or INDEX not in listed else ("*.safetensors",)
    wanted = [pattern.split("/") for pattern in (*patterns, *shards)]
    return {
        name: facts
        for name, facts in listed.items()
        if any(
            len(parts) == len(want) and all(map(fnmatchcase, parts, want))
            for want in wanted
            for parts in [name.split("/")]
        )
    }


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


def _modules_s3(client: object, bucket: str, prefix: str) -> list[str]:
    """Return the folders of the modules whose names are unusual. A file that is broken names none."""
    try:
        listed = json.loads(client.get_object(Bucket=bucket, Key=prefix + MODULES)["Body"].read())  # type: ignore[attr-defined] # boto3 makes clients at run time
        return [name for name in module_names(listed, prefix + MODULES) if name and not fnmatchcase(name, MODULE)]
    except (ValueError, CheckpointError):  # whoever reads the folder refuses it
        return []


def _list_s3(client: object, bucket: str, prefix: str, places: list[str]) -> dict[str, S3Object]:
    """Return each object directly in `places`, by its name below `prefix`, and those of modules directly below it."""
    objects: dict[str, S3Object] = {}
    for place in places:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=place, Delimiter="/")  # type: ignore[attr-defined] # boto3 makes clients at run time
        for page in pages:
            for item in page.get("Contents", ()):
                objects[item["Key"].removeprefix(prefix)] = S3Object(item["ETag"], int(item["Size"]))
            found = [each["Prefix"] for each in page.get("CommonPrefixes", ()) if place == prefix]
            places += [name for name in found if fnmatchcase(name.removeprefix(prefix), f"{MODULE}/")]
    return {name: facts for name, facts in objects.items() if not name.endswith("/") and name}


def _download_s3(client: object, bucket: str, prefix: str, names: Iterable[str], target: Path) -> None:
    """Download into a temporary folder, then rename it to `target`.

    Other processes therefore never see a partial checkpoint.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=target.parent))
    try:
        for name in names:
            (partial / name).parent.mkdir(exist_ok=True)
            client.download_file(bucket, f"{prefix}/{name}", str(partial / name))  # type: ignore[attr-defined] # boto3 makes clients at run time
        try:
            partial.rename(target)
        except OSError:
            if not target.is_dir():  # another process downloaded the same objects first
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
