"""Copies the checkpoints of a catalog into the bucket of weights, and writes the catalog that the replicas read.

Replicas have no way to the internet, so they read weights from this bucket alone. A key holds the digest of weights,
config and tokenizer, so a changed checkpoint never overwrites one that a replica may be reading, and what is there is
never sent again. Must not know models beyond their files.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tomlkit

from serve.checkpoints.folders import module_folders
from shared.catalog import Catalog, Head, Model, load_catalog

PREFIX, DIGEST_CHARS = "models", 32  # serve/checkpoints/fetch.py knows this form
WEIGHTS, HEAD = ".safetensors", "head.safetensors"
KEPT = re.compile(r".*\.(?:safetensors|json|model|txt)")  # weights, their index, and what describes them
MODULE = re.compile(r"\d+_\w+")  # serve/checkpoints/fetch.py knows these folders too, and those in modules.json
Copy = Callable[[Path, str], bool]
Check = Callable[[Model, Path], None]
CheckHead = Callable[[Model, Head, Path], None]


def key_prefix(model: Model, files: Sequence[Path]) -> str:
    """Return where a model's files lie in the bucket: below its name, and a digest of all that a replica reads there.

    The catalog has the digest of the weights, which are gigabytes. The files beside them are read.
    """
    total = hashlib.sha256(f"{model.weights_sha256}\n{model.config_sha256}\n{model.tokenizer_sha256}\n".encode())
    for path in sorted(path for path in files if path.suffix != WEIGHTS):
        total.update(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n".encode())
    return f"{PREFIX}/{model.name}/{total.hexdigest()[:DIGEST_CHARS]}"


def files_of(folder: Path) -> list[Path]:
    """Return the files of a checkpoint that a replica may read, largest last, so that the weights complete it.

    The folders of the modules of sentence-transformers, such as `1_Pooling`, belong to it.
    """
    named = module_folders(folder)
    inner = [path for path in folder.iterdir() if path.is_dir() and (MODULE.fullmatch(path.name) or path.name in named)]
    found = [path for place in (folder, *inner) for path in place.iterdir()]
    kept = [path for path in found if path.is_file() and KEPT.fullmatch(path.name)]
    return sorted(kept, key=lambda path: (path.suffix == WEIGHTS, path.relative_to(folder).as_posix()))


def mirror(
    catalog: Catalog,
    folder_of: Callable[[str], Path],
    copy: Copy,
    say: Callable[[str], None],
    check: Check = lambda _, __: None,
) -> dict[str, str]:
    """Copy every checkpoint; return the key prefix of each model.

    `folder_of` brings a checkpoint to this machine. `check` refuses one that is not what the catalog says. `copy`
    uploads one file to a key and says whether it had to.
    """
    places = {}
    for model in catalog.models.values():
        folder = folder_of(model.checkpoint)
        check(model, folder)
        files = files_of(folder)
        prefix = key_prefix(model, files)
        n_copied = sum(copy(path, f"{prefix}/{path.relative_to(folder).as_posix()}") for path in files)
        say(f"weights of {model.name}: {n_copied} of {len(files)} files copied, the others are there")
        places[model.name] = prefix
    return places


def mirror_heads(
    catalog: Catalog,
    folder_of: Callable[[str], Path],
    copy: Copy,
    say: Callable[[str], None],
    check: CheckHead = lambda _, __, ___: None,
) -> dict[tuple[str, str], str]:
    """Copy the file of every head that was trained apart; return the key prefix of each, by model and head.

    The arguments are those of `mirror`. The backbone beside such a head is not copied: its model has it.
    """
    places = {}
    own = [(model, name, head) for model in catalog.models.values() for name, head in model.heads.items()]
    for model, name, head in own:
        if head.checkpoint:
            folder = folder_of(head.checkpoint)
            check(model, head, folder)
            prefix = f"{PREFIX}/{model.name}/heads/{name}/{str(head.weights_sha256)[:DIGEST_CHARS]}"
            is_new = copy(folder / HEAD, f"{prefix}/{HEAD}")
            say(f"head {model.name}:{name}: {'copied' if is_new else 'is there'}")
            places[model.name, name] = prefix
    return places


def deployed_catalog(
    text: str, bucket: str, places: Mapping[str, str], heads: Mapping[tuple[str, str], str] | None = None
) -> str:
    """Return a catalog whose checkpoints, and `heads` by model and head, are in the bucket.

    All else stays as it is, comments too.
    """
    document = tomlkit.parse(text)
    models: Any = document["models"]
    for name, prefix in places.items():
        models[name]["checkpoint"] = f"s3://{bucket}/{prefix}"
    for (name, head), prefix in (heads or {}).items():
        models[name]["heads"][head]["checkpoint"] = f"s3://{bucket}/{prefix}"
    return tomlkit.dumps(document)


def push(
    catalog_path: Path,
    bucket: str,
    region: str,
    out: Path,
    say: Callable[[str], None],
    check: Check = lambda _, __: None,
    *,
    check_head: CheckHead = lambda _, __, ___: None,
) -> str:
    """Copy the checkpoints of a catalog file to the bucket, and write the catalog of the replicas to `out`.

    The new catalog goes to the bucket too. Its key, which is returned, holds its digest, so a changed catalog starts
    new replicas. Nothing is copied of a checkpoint that `check` or `check_head` refuses: what once lies under a key
    stays there. Raises ValueError, OSError, what these two raise, and the errors of boto3.
    """
    from glossa.tokenizer_build.checkpoints import folder_of, head_folder_of  # noqa: PLC0415 - a download imports torch

    catalog = load_catalog(catalog_path)
    copy = s3_copy(bucket, region)
    places = mirror(catalog, lambda reference: folder_of(reference, catalog_path.parent), copy, say, check)
    heads = mirror_heads(catalog, lambda each: head_folder_of(each, catalog_path.parent), copy, say, check_head)
    out.parent.mkdir(parents=True, exist_ok=True)
    text = deployed_catalog(catalog_path.read_text(encoding="utf-8"), bucket, places, heads)
    out.write_text(text, encoding="utf-8")
    load_catalog(out)
    key = f"catalogs/{hashlib.sha256(out.read_bytes()).hexdigest()[:16]}.toml"
    copy(out, key)
    say(f"catalog of the replicas: {out}, {key}")
    return key


def s3_copy(bucket: str, region: str) -> Copy:
    """Return a function that uploads a file to a key.

    Nothing is uploaded again when an object of its size is there, because a key holds the digest of what it names. A
    second upload would change the entity tag under SSE-KMS, and tell a replica that the object changed.
    """
    import boto3  # noqa: PLC0415 - takes 300 ms, which `--help` does not need
    from botocore.exceptions import ClientError  # noqa: PLC0415 - slow, as boto3 is

    client = boto3.client("s3", region_name=region)

    def copy(path: Path, key: str) -> bool:
        if n_bytes(key) == path.stat().st_size:
            return False
        client.upload_file(str(path), bucket, key)
        return True

    def n_bytes(key: str) -> int | None:
        try:
            return int(client.head_object(Bucket=bucket, Key=key)["ContentLength"])
        except ClientError as error:
            if error.response["Error"]["Code"] not in {"404", "NoSuchKey", "NotFound"}:
                raise
            return None

    return copy
