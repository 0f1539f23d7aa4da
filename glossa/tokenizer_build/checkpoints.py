"""Finds the checkpoint of a model, and makes the tokenizer artifact from it.

It loads no weights. torch and transformers are imported only when a download or a conversion needs them. Must not know
the prebuilt form.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from functions.tokenizers.load import read_tokenizer
from functions.tokenizers.tokenizer import Tokenizer
from glossa.tokenizer_build.xlm_artifact import FILES, holds_xlm_files, xlm_artifact
from shared.catalog import Model

TOKENIZER = "tokenizer.json"
OLDER = "sentencepiece.bpe.model"
PROBES = (
    "Hello  world", "Grüße aus Köln, 3½ km", "你好,世界。", "すべての人間は", "สวัสดีชาวโลก", "مرحبا بالعالم",
    "नमस्ते दुनिया", "👩\u200d👩\u200d👧 cafe\u0301 ﬁn", "a <mask> b<mask>.", "x </s> y<s>", "\u0085a▁b\ufeffc\u200b",
    "", "   ", "a\x00b\r\n c",
)  # fmt: skip


def folder_of(reference: str, root: Path) -> Path:
    """Return the folder of a checkpoint, after a download if the reference is remote.

    `root` is the catalog's folder. Raises ValueError when there is no such folder, CheckpointError when the download
    fails.
    """
    if reference.startswith(("s3:", "hub:")):
        from serve.checkpoints.fetch import fetch  # noqa: PLC0415 - imports torch, and only a download needs it

        return fetch(reference, root)
    folder = root / reference
    if not folder.is_dir():
        raise ValueError(
            f"got checkpoint {reference!r}, expected a folder (also below {root.resolve()}), s3://… or hub:name@…"
        )
    return folder


def artifact_of(folder: Path) -> bytes:
    """Return the bytes of a checkpoint's tokenizer artifact, which is its `tokenizer.json` if it has one.

    An older checkpoint has a SentencePiece model instead, and XLM a vocabulary and merges; transformers converts them.
    Raises ValueError when the folder has none of these.
    """
    if holds_xlm_files(folder) and (found := _xlm_of(folder)) is not None:
        return found
    if (folder / TOKENIZER).is_file():
        return (folder / TOKENIZER).read_bytes()
    if not (folder / OLDER).is_file():
        kinds = f"{TOKENIZER}, {OLDER}, nor both {' and '.join(FILES)}"
        raise ValueError(f"{folder} holds neither {kinds}; expected one of the three")
    from transformers import XLMRobertaTokenizer  # noqa: PLC0415 - slow, and only older checkpoints need it

    converted: str = XLMRobertaTokenizer.from_pretrained(str(folder)).backend_tokenizer.to_str()
    return converted.encode()


def _xlm_of(folder: Path) -> bytes | None:
    """Return the artifact if transformers reads the folder as an XLM tokenizer, else None."""
    from transformers import AutoTokenizer, XLMTokenizer  # noqa: PLC0415 - slow, and only XLM needs it

    reference: Any = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    return xlm_artifact(reference) if isinstance(reference, XLMTokenizer) else None


def tokenizer_of(model: Model, root: Path) -> Tokenizer:
    """Load the tokenizer of a model from its checkpoint. Raises ValueError when its digest is not the catalog's."""
    tokenizer = read_tokenizer(artifact_of(folder_of(model.checkpoint, root)))
    check_digest(model, tokenizer.fingerprint)
    return tokenizer


def check_digest(model: Model, found_sha256: str) -> None:
    """Raise ValueError unless the digest of an artifact is the one that the catalog names."""
    if found_sha256 != model.tokenizer_sha256:
        raise ValueError(
            f"the tokenizer of {model.name} has sha256 {found_sha256}, the catalog expects {model.tokenizer_sha256}; "
            f"if the checkpoint was changed on purpose: glossa catalog refresh {model.name}"
        )


def check_like_reference(tokenizer: Tokenizer, folder: Path, probes: Sequence[str] = PROBES) -> None:
    """Raise ValueError when an artifact gives other ids for a probe text than transformers does."""
    from transformers import AutoTokenizer  # noqa: PLC0415 - slow, and only `catalog add` compares

    reference = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    for probe in probes:
        ours = [*tokenizer.layout.first, *tokenizer.encode(probe).ids, *tokenizer.layout.last]
        if ours != (theirs := reference(probe)["input_ids"]):
            raise ValueError(
                f"the tokenizer of {folder} reads {probe!a} as {ours}, transformers as {theirs}; "
                "save it again with AutoTokenizer.from_pretrained(folder).save_pretrained(folder)"
            )
