"""The bytes of an artifact -> the tokenizer that they are of; its class is chosen by what they say.

Must not know requests or where a catalog lies.
"""

from __future__ import annotations

from pathlib import Path

from functions.pipeline.tokenize.tokenizer import Tokenizer
from functions.pipeline.tokenize.unigram import JsonTokenizer
from functions.pipeline.tokenize.xlm.artifact import is_artifact
from shared.catalog import Catalog


def read_tokenizer(artifact: bytes) -> Tokenizer:
    """Make the tokenizer of an artifact's bytes. Raises ValueError when they are no tokenizer."""
    if is_artifact(artifact):
        from functions.pipeline.tokenize.xlm.tokenizer import XlmTokenizer  # noqa: PLC0415 - sacremoses costs 0.4 s

        return XlmTokenizer(artifact)
    return JsonTokenizer(artifact)


def load_tokenizer(path: Path, sha256_hex: str | None = None) -> Tokenizer:
    """Load one artifact. Raises ValueError when it is broken or its sha256 is not the one given, OSError."""
    tokenizer = read_tokenizer(path.read_bytes())
    if sha256_hex is not None and tokenizer.fingerprint != sha256_hex:
        raise ValueError(f"{path.name}: got sha256 {tokenizer.fingerprint}, the catalog expects {sha256_hex}")
    return tokenizer


def load_tokenizers(catalog: Catalog, artifacts: Path) -> dict[str, Tokenizer]:
    """Load `{artifacts}/{model}/tokenizer.json` of every model. Raises as `load_tokenizer`."""
    return {
        name: load_tokenizer(artifacts / name / "tokenizer.json", model.tokenizer_sha256)
        for name, model in catalog.models.items()
    }
