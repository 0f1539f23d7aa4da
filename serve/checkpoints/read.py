"""Checkpoints: bring one to a local folder, prove it by its digest, open its tensors.

The model side's one door to files, S3 and the hub. Reads safetensors and JSON and nothing else:
no pickle, no code. Must not know any family's architecture.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from shared.errors import GlossaError

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")
BESIDE = (
    "config.json", "heads.json", "tokenizer.json", "tokenizer_config.json", "sentencepiece.bpe.model",
    "vocab.json", "merges.txt", "special_tokens_map.json", "added_tokens.json",  # the last four: tokenizers of XLM
)  # fmt: skip
WANTED = (SINGLE, INDEX, "model-*-of-*.safetensors", *BESIDE)
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack")
HUB = re.compile(r"hub:(?P<name>[\w.-]+(?:/[\w.-]+)?)@(?P<revision>[0-9a-f]{40})")
S3 = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(?P<prefix>.*?)/?")
FLOATS = {"F32", "F16", "BF16"}
CONVERT = (
    "convert it once, where you trust the file: AutoModelForX.from_pretrained(path).save_pretrained(folder) "
    "of transformers writes model.safetensors"
)


class CheckpointError(GlossaError):
    """A checkpoint that cannot be served: absent, altered, incomplete, or of a kind we do not load."""

    code = "checkpoint-error"


def fetch(reference: str, root: Path, *, cache: Path | None = None) -> Path:
    """Bring a checkpoint to this machine and return its folder.

    `reference` is a folder (relative to `root`), `s3://bucket/prefix`, or `hub:name@revision`
    with a 40-hex commit. `cache` holds downloads; default `root/build/weights` for S3 and the
    hub library's own cache for the hub. Raises CheckpointError.
    """
    if reference.startswith("s3:"):
        return _fetch_s3(reference, cache or root / "build" / "weights")
    if reference.startswith("hub:"):
        return _fetch_hub(reference, cache)
    folder = root / reference
    if not folder.is_dir():
        raise CheckpointError(
            f"got checkpoint {reference!r}, expected a folder (also below {root}), s3://… or hub:name@…"
        )
    return folder


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files of a checkpoint, sorted by name: the single file, or the index's shards.

    Raises CheckpointError when there is none (a pickle-only checkpoint is refused by name), or
    when the index names a file that is absent or outside the folder.
    """
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    if not (folder / INDEX).is_file():
        raise _no_weights(str(folder), (path.name for path in folder.iterdir()))
    index = read_json(folder / INDEX)
    places = index.get("weight_map")
    names = sorted(set(places.values())) if isinstance(places, Mapping) else []
    if wrong := [name for name in names if not SHARD.fullmatch(name)]:
        raise CheckpointError(f"{INDEX} names {wrong[0]!r}, expected names such as model-00001-of-00002.safetensors")
    if absent := [name for name in names if not (folder / name).is_file()]:
        raise CheckpointError(f"{INDEX} names {absent[0]}, which is not in {folder}")
    if not names:
        raise CheckpointError(f"{INDEX} in {folder} names no file")
    return [folder / name for name in names]


def weights_sha256(folder: Path) -> str:
    r"""Return the digest that the catalog names, 64 hex digits.

    One file: the sha256 of its bytes. Shards: the sha256 of the text that
    `sha256sum model-*.safetensors` prints in the folder (`<hex>  <name>\n`, by name).
    """
    digests = [(_sha256(path), path.name) for path in weight_files(folder)]
    if [name for _, name in digests] == [SINGLE]:
        return digests[0][0]
    listing = "".join(f"{digest}  {name}\n" for digest, name in digests)
    return hashlib.sha256(listing.encode()).hexdigest()


def check_weights(folder: Path, expected_sha256: str) -> None:
    """Raise CheckpointError unless the folder's weights have the digest the catalog names."""
    found = weights_sha256(folder)
    if found != expected_sha256:
        raise CheckpointError(
            f"weights in {folder} have sha256 {found}, the catalog expects {expected_sha256}",
            hint="the checkpoint changed, or the catalog names another; if on purpose: glossa catalog refresh NAME",
        )


def tensor_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor by name, from the file headers alone.

    Raises CheckpointError for a broken file or a tensor that is not float32, float16 or bfloat16.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for path in weight_files(folder):
        with _open(path) as opened:
            for name in opened.keys():  # noqa: SIM118 - the file handle is no mapping
                part = opened.get_slice(name)
                if not name.endswith("_ids") and part.get_dtype() not in FLOATS:
                    raise CheckpointError(f"tensor {name} is {part.get_dtype()}, expected one of {sorted(FLOATS)}")
                shapes[name] = tuple(part.get_shape())
    return shapes


def read_tensors(folder: Path, names: Collection[str], dtype: torch.dtype | None = None) -> dict[str, torch.Tensor]:
    """Return the named tensors on the CPU, as stored or in `dtype`; names that the checkpoint lacks are left out.

    Each is converted as it is read: of a float32 checkpoint served in bfloat16, one tensor is there twice. Each is a
    mapping of its own, so that one which is stored anew by its layer gives its pages back while others keep theirs.
    """
    tensors: dict[str, torch.Tensor] = {}
    for path in weight_files(folder):
        with _open(path) as opened:
            found = [name for name in opened.keys() if name in names]  # noqa: SIM118 - the file handle is no mapping
        tensors.update({name: _read(path, name).to(dtype=dtype) for name in found})
    return tensors


def read_json(path: Path) -> dict[str, object]:
    """Read a JSON object of a checkpoint. Raises CheckpointError."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds a {type(value).__name__}, expected an object")
    return value


def _open(path: Path) -> safe_open:
    try:
        return safe_open(path, framework="pt", device="cpu")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a safetensors file: {error}") from None


def _read(path: Path, name: str) -> torch.Tensor:
    with _open(path) as opened:
        return torch.as_tensor(opened.get_tensor(name))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _no_weights(place: str, names: Iterable[str]) -> CheckpointError:
    pickles = sorted(name for name in names if name.endswith(PICKLES))
    if pickles:
        return CheckpointError(f"{place} holds {pickles[0]} but no {SINGLE}; pickles are never loaded", hint=CONVERT)
    return CheckpointError(f"{place} holds no {SINGLE} and no {INDEX}", hint=CONVERT)


def _fetch_hub(reference: str, cache: Path | None) -> Path:
    match = HUB.fullmatch(reference)
    if match is None:
        raise CheckpointError(
            f"got checkpoint {reference!r}, expected hub:name@revision with a commit of 40 hex digits"
        )
    for offline in (True, False):  # a pinned commit never changes, so a local copy needs no network
        folder = _snapshot(match["name"], match["revision"], cache, offline=offline)
        if folder is not None:
            return folder
    raise CheckpointError(f"{reference} is not in the local hub cache and the hub cannot be reached")


def _snapshot(name: str, revision: str, cache: Path | None, *, offline: bool) -> Path | None:
    """Return the snapshot's folder; None when it is not cached (offline) or cannot be had (online)."""
    import huggingface_hub  # noqa: PLC0415 - only hub: references pay for it
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError  # noqa: PLC0415 - likewise

    try:
        found = huggingface_hub.snapshot_download(
            name, revision=revision, allow_patterns=list(WANTED), local_files_only=offline, cache_dir=cache
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
    """Download the wanted objects directly under the prefix, once for each state of the prefix."""
    match = S3.fullmatch(reference)
    if match is None or not match["prefix"]:
        raise CheckpointError(f"got checkpoint {reference!r}, expected s3://bucket/prefix")
    import boto3  # noqa: PLC0415 - only s3: references pay for it
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - likewise

    try:
        client = boto3.client("s3")
        listed = _list_s3(client, match["bucket"], match["prefix"] + "/")
        wanted = {name: facts for name, facts in listed.items() if any(Path(name).match(want) for want in WANTED)}
        if SINGLE not in wanted and INDEX not in wanted:
            raise _no_weights(reference, listed)
        state = hashlib.sha256(json.dumps([reference, sorted(wanted.items())]).encode()).hexdigest()[:32]
        return _download_s3(client, match["bucket"], match["prefix"], list(wanted), cache / state)
    except (BotoCoreError, ClientError) as error:
        raise CheckpointError(f"{reference} cannot be fetched: {error}") from None


def _list_s3(client: object, bucket: str, prefix: str) -> dict[str, str]:
    """Return name -> entity tag of the objects directly under `prefix`."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")  # type: ignore[attr-defined] # boto3 makes clients at run time
    return {item["Key"].removeprefix(prefix): item["ETag"] for page in pages for item in page.get("Contents", ())}


def _download_s3(client: object, bucket: str, prefix: str, names: Iterable[str], target: Path) -> Path:
    """Fill `target` in one rename, so that two processes never see half a checkpoint."""
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix="partial-", dir=target.parent))
    try:
        for name in names:
            client.download_file(bucket, f"{prefix}/{name}", str(partial / name))  # type: ignore[attr-defined] # likewise
        try:
            partial.rename(target)
        except OSError:
            if not target.is_dir():  # another process was first with the same objects
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target
