"""Finds the checkpoint of a model, and makes the tokenizer artifact from it.

It loads no weights. torch and transformers are imported only when a download or a conversion needs them. Must not know
the prebuilt form.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from functions.tokenizers.load import read_tokenizer
from functions.tokenizers.tokenizer import Tokenizer
from glossa.tokenizer_build.reference import OLDER, TOKENIZER, XLM, TokenizerError, reference_of
from glossa.tokenizer_build.rules import same_meaning
from glossa.tokenizer_build.xlm_artifact import FILES, holds_xlm_files, xlm_artifact
from serve.checkpoints.folders import transformer_folder
from shared.catalog import Model

MAX_NAMED, MAX_PROBED = 5, 200  # added tokens
PROBES = (
    "Hello  world", "Grüße aus Köln, 3½ km", "你好,世界。", "すべての人間は", "สวัสดีชาวโลก", "مرحبا بالعالم",
    "नमस्ते दुनिया", "👩\u200d👩\u200d👧 cafe\u0301 ﬁn", "a <mask> b<mask>.", "x </s> y<s>", "\u0085a▁b\ufeffc\u200b",
    "", "   ", "a\x00b\r\n c", "hello ", " hello\u00a0", "\u200b\u200b", "a\u3000b\u3000 c", "x  <s>  y </s>",
)  # fmt: skip


def folder_of(reference: str, root: Path, *, asks_hub: bool = False) -> Path:
    """Return the folder of a checkpoint, after a download if the reference is remote.

    `root` is the catalog's folder. `asks_hub` asks for files that a cached copy may lack. Raises ValueError when there
    is no such folder, CheckpointError when the download
    fails.
    """
    if reference.startswith(("s3:", "hub:")):
        from serve.checkpoints.fetch import fetch  # noqa: PLC0415 - imports torch, and only a download needs it

        return fetch(reference, root, asks_hub=asks_hub)
    folder = root / reference
    if not folder.is_dir():
        raise ValueError(
            f"got checkpoint {reference!r}, expected a folder (also below {root.resolve()}), s3://… or hub:name@…"
        )
    return folder


def head_folder_of(reference: str, root: Path) -> Path:
    """Return the folder of a head that was trained apart, after a download if the reference is remote. Raises alike."""
    if not reference.startswith("s3:"):
        return folder_of(reference, root)
    from serve.checkpoints.fetch import fetch_head  # noqa: PLC0415 - imports torch, and only a download needs it

    return fetch_head(reference, root)


def artifact_of(folder: Path, known_sha256: str | None = None) -> bytes:
    """Return the bytes of a checkpoint's tokenizer artifact: the rules that transformers 5 applies for the folder.

    They are those of its `tokenizer.json` if that file means the same, or if its sha256 is `known_sha256`, the
    catalog's. Else the library writes the artifact from the tokenizer that `AutoTokenizer` gives. Padding and
    truncation that are stored in the file play no role. Raises ValueError when the folder has no tokenizer, and
    TokenizerError when transformers reads it otherwise than it was trained.
    """
    folder = transformer_folder(folder)
    own = _stored(folder)
    if own is not None and known_sha256 == sha256(own).hexdigest():
        return own
    return _artifact(reference_of(folder), own)


def checked_tokenizer(folder: Path) -> Tokenizer:
    """Return the tokenizer of a folder's artifact, compared with transformers. Raises as the two functions that do it.

    It reads the folder once, which takes seconds for a vocabulary of 250,000 pieces.
    """
    folder = transformer_folder(folder)
    own = _stored(folder)
    reference = reference_of(folder)
    tokenizer = read_tokenizer(_artifact(reference, own))
    _compare(tokenizer, reference, folder, PROBES)
    return tokenizer


def _stored(folder: Path) -> bytes | None:
    """Return the folder's `tokenizer.json`, None where other files stand for it. Raises ValueError without any."""
    path = folder / TOKENIZER
    if path.is_file():
        return path.read_bytes()
    if not (folder / OLDER).is_file() and not holds_xlm_files(folder):
        kinds = f"{TOKENIZER}, {OLDER}, nor both {' and '.join(FILES)}"
        raise ValueError(f"{folder} holds neither {kinds}; expected one of the three")
    return None


def _artifact(reference: Any, own: bytes | None) -> bytes:
    if type(reference).__name__ == XLM:
        return xlm_artifact(reference)
    backend = reference.backend_tokenizer
    backend.no_padding()
    backend.no_truncation()
    written: str = backend.to_str()
    if own is not None and same_meaning(json.loads(own), json.loads(written)):
        return own
    return written.encode()


def tokenizer_of(model: Model, root: Path) -> Tokenizer:
    """Load the tokenizer of a model from its checkpoint. Raises ValueError when its digest is not the catalog's."""
    tokenizer = read_tokenizer(artifact_of(folder_of(model.checkpoint, root), model.tokenizer_sha256))
    check_digest(model, tokenizer.fingerprint)
    return tokenizer


def check_digest(model: Model, found_sha256: str) -> None:
    """Raise ValueError unless the digest of an artifact is the one that the catalog names."""
    if found_sha256 != model.tokenizer_sha256:
        raise ValueError(
            f"the tokenizer of {model.name} has sha256 {found_sha256}, the catalog expects {model.tokenizer_sha256}; "
            f"if the checkpoint was changed on purpose: glossa catalog refresh {model.name}"
        )


def check_rows(tokenizer: Tokenizer, n_rows: int) -> None:
    """Raise TokenizerError that names the tokens whose ids are past the rows of the model's word embedding."""
    if tokenizer.vocab_size <= n_rows:
        return
    past = range(n_rows, tokenizer.vocab_size)
    named = ", ".join(f"{piece} ({i})" for piece, i in zip(tokenizer.pieces(past[:MAX_NAMED]), past, strict=False))
    more = f" and {len(past) - MAX_NAMED} more" if len(past) > MAX_NAMED else ""
    raise TokenizerError(
        f"the tokenizer has {tokenizer.vocab_size} ids, the model rows for {n_rows}: no row for {named}{more}",
        hint="resize the model as in training (model.resize_token_embeddings(len(tokenizer))) and save it again, or "
        "remove these tokens from the tokenizer's files",
    )


def check_like_reference(tokenizer: Tokenizer, folder: Path, probes: Sequence[str] = PROBES) -> None:
    """Raise ValueError when an artifact gives other ids for a probe text than transformers does.

    Each added token of the folder is read too, alone and within words. Raises TokenizerError as `artifact_of`.
    """
    _compare(tokenizer, reference_of(transformer_folder(folder)), folder, probes)


def _compare(tokenizer: Tokenizer, reference: Any, folder: Path, probes: Sequence[str]) -> None:
    added = "".join(f"a {token} b{token}c" for token in list(reference.added_tokens_encoder)[:MAX_PROBED])
    for probe in (*probes, added):
        ours = [*tokenizer.layout.first, *tokenizer.encode(probe).ids, *tokenizer.layout.last]
        if ours != (theirs := reference(probe)["input_ids"]):
            raise ValueError(f"the tokenizer of {folder} reads {probe!a} as {ours}, transformers as {theirs}")
