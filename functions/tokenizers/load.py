"""Loads tokenizers from artifacts. The content of an artifact decides which class reads it.

When the manifest names a prebuilt file for an artifact, that file is mapped into memory instead. Must not know requests
or where the catalog is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from functions.tokenizers.memory_mapped.kernel import Kernel, kernel_name
from functions.tokenizers.memory_mapped.tokenizer import MemoryMappedTokenizer
from functions.tokenizers.tokenizer import Tokenizer
from functions.tokenizers.xlm.artifact import is_artifact
from shared.catalog import Catalog, Model

Manifest = Mapping[str, Any]


def read_tokenizer(artifact: bytes) -> Tokenizer:
    """Make a tokenizer from the bytes of an artifact. Raises ValueError when they are no tokenizer."""
    if is_artifact(artifact):
        from functions.tokenizers.xlm.tokenizer import XlmTokenizer  # noqa: PLC0415 - importing sacremoses takes 0.4 s

        return XlmTokenizer(artifact)
    from functions.tokenizers.unigram import JsonTokenizer  # noqa: PLC0415 - few texts need the library

    return JsonTokenizer(artifact)


def load_tokenizer(path: Path, sha256_hex: str | None = None) -> Tokenizer:
    """Load one artifact. Raises OSError, and ValueError when it is broken or its sha256 is not `sha256_hex`."""
    tokenizer = read_tokenizer(path.read_bytes())
    _check(path, tokenizer.fingerprint, sha256_hex or tokenizer.fingerprint, "the catalog")
    return tokenizer


def load_tokenizers(catalog: Catalog, artifacts: Path) -> dict[str, Tokenizer]:
    """Load the tokenizer of every model of the catalog, by the name of the model.

    A tokenizer is prebuilt where `{artifacts}/manifest.json` says so, else it is `{artifacts}/{model}/tokenizer.json`.
    The sha256 of tokenizer.json must be that of the catalog, the sha256 of a prebuilt file that of the manifest. Raises
    as `load_tokenizer`.
    """
    path = artifacts / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    kernel = _kernel(manifest, artifacts)
    return {name: _load(name, model, artifacts, manifest, kernel) for name, model in catalog.models.items()}


def _load(name: str, model: Model, artifacts: Path, manifest: Manifest, kernel: Kernel | None) -> Tokenizer:
    source = artifacts / name / "tokenizer.json"
    entry = manifest.get("models", {}).get(name, {}).get("prebuilt")
    if kernel is None or entry is None:
        return load_tokenizer(source, model.tokenizer_sha256)
    path = artifacts / entry["path"]
    _check(source, _digest(source), model.tokenizer_sha256, "the catalog")
    _check(path, _digest(path), entry["sha256"], "the manifest")
    tokenizer = MemoryMappedTokenizer(path, kernel)
    _check(path, tokenizer.fingerprint, model.tokenizer_sha256, "the catalog")
    return tokenizer


def _kernel(manifest: Manifest, artifacts: Path) -> Kernel | None:
    entry = manifest.get("kernels", {}).get(kernel_name())
    if entry is None:
        return None
    path = artifacts / entry["path"]
    _check(path, _digest(path), entry["sha256"], "the manifest")
    return Kernel(path)


def _check(path: Path, found: str, expected: str, who: str) -> None:
    if found != expected:
        raise ValueError(f"{path.name}: got sha256 {found}, {who} expects {expected}")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
