"""The bytes of an artifact -> the tokenizer that they are of; its class is chosen by what they say.

A prebuilt form beside an artifact, where the manifest names one, is read in its place. Must not know requests or
where a catalog lies.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from functions.tokenizers.memory_mapped.kernel import Kernel, kernel_name
from functions.tokenizers.memory_mapped.tokenizer import MappedTokenizer
from functions.tokenizers.tokenizer import Tokenizer
from functions.tokenizers.xlm.artifact import is_artifact
from shared.catalog import Catalog, Model

Manifest = Mapping[str, Any]


def read_tokenizer(artifact: bytes) -> Tokenizer:
    """Make the tokenizer of an artifact's bytes. Raises ValueError when they are no tokenizer."""
    if is_artifact(artifact):
        from functions.tokenizers.xlm.tokenizer import XlmTokenizer  # noqa: PLC0415 - sacremoses costs 0.4 s

        return XlmTokenizer(artifact)
    from functions.tokenizers.unigram import JsonTokenizer  # noqa: PLC0415 - the library, which few texts need

    return JsonTokenizer(artifact)


def load_tokenizer(path: Path, sha256_hex: str | None = None) -> Tokenizer:
    """Load one artifact. Raises ValueError when it is broken or its sha256 is not the one given, OSError."""
    tokenizer = read_tokenizer(path.read_bytes())
    _check(path, tokenizer.fingerprint, sha256_hex or tokenizer.fingerprint, "the catalog")
    return tokenizer


def load_tokenizers(catalog: Catalog, artifacts: Path) -> dict[str, Tokenizer]:
    """Load the tokenizer of every model: prebuilt where the manifest has it, else `{artifacts}/{model}/tokenizer.json`.

    Both files are checked: tokenizer.json by the catalog's sha256, what is made from it by the manifest's. Raises as
    `load_tokenizer`.
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
    tokenizer = MappedTokenizer(path, kernel)
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
