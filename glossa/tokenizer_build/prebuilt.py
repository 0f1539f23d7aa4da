"""Makes the prebuilt file of a tokenizer.json, which functions map into memory instead of parsing JSON.

Only tokenizers whose rules the kernel supports have one. The kernel itself builds the trie of the vocabulary. Must not
know catalogs or where files lie.
"""

from __future__ import annotations

import base64
import ctypes
import json
import struct
from array import array
from collections.abc import Mapping
from typing import Any

from functions.tokenizers.memory_mapped.file_format import write
from functions.tokenizers.memory_mapped.kernel import FULL, UNIT_BYTES, Kernel
from functions.tokenizers.unigram import MASK, JsonTokenizer
from glossa.tokenizer_build.code_points import classes_of, keys_of
from glossa.tokenizer_build.kernel_rules import is_metaspace, other_normalizers, rule_flags, table_of

MAX_UNITS = 1 << 24
UNK_PENALTY = 10.0  # the same as K_UNK_PENALTY of the tokenizers crate
Json = Mapping[str, Any]


def unsupported_rule(rules: Json) -> str | None:
    """Return a rule of a tokenizer.json that the kernel does not support, None when it supports all."""
    model = rules["model"]
    try:
        rule_flags(rules["normalizer"], rules["pre_tokenizer"])
    except ValueError as reason:
        return str(reason)
    checks = {
        "its model is not Unigram": model.get("type", "Unigram") != "Unigram" or model.get("unk_id") is None,
        "it falls back to bytes": bool(model.get("byte_fallback")),
        "its decoder is not Metaspace": not is_metaspace(rules["decoder"] or {"type": None}),
        "an added token is normalized or a whole word only": any(
            token["normalized"] or token["single_word"] for token in rules["added_tokens"]
        ),
    }
    return next((reason for reason, is_so in checks.items() if is_so), None) or _unsupported_piece(model)


def _unsupported_piece(model: Json) -> str | None:
    vocab = model["vocab"]
    if any(not piece or "\0" in piece for piece, _ in vocab):
        return "a piece is empty or has a zero byte"
    if any(score > 0 for _, score in vocab):
        return "a score is above zero"
    unk = vocab[model["unk_id"]][0]
    if any(unk in piece and piece != unk for piece, _ in vocab):
        return "a piece holds the unknown piece"
    return None


def prebuild(artifact: bytes, kernel: Kernel, *, build_digest: str = "") -> bytes:
    """Return the bytes of the prebuilt file of a tokenizer.json, which also holds `build_digest`.

    `build_digest` is the digest of all else that the file depends on. Raises ValueError for rules that the
    kernel does not support.
    """
    library = JsonTokenizer(artifact)
    rules = json.loads(library.backend.to_str())
    if (reason := unsupported_rule(rules)) is not None:
        raise ValueError(f"this tokenizer has no prebuilt form: {reason}")
    model = rules["model"]
    ids = {
        piece: i for i, (piece, _) in enumerate(model["vocab"])
    }  # of equal pieces the last one counts, as in the crate
    scores = [score for _, score in model["vocab"]]
    lowest = min(range(len(scores)), key=scores.__getitem__)
    layout = library.layout
    pieces = [piece.encode() for piece in library.pieces(range(library.vocab_size))]
    units = _trie({piece.encode(): i for piece, i in ids.items()}, scores, kernel)
    charsmap = base64.b64decode(table_of(rules["normalizer"]))
    n_map = struct.unpack_from("<I", charsmap)[0] if charsmap else 0
    facts = {
        "source_sha256": library.fingerprint,
        "recipe": build_digest,
        "vocab_size": library.vocab_size,
        "unk_id": model["unk_id"],
        "unk_score": min(scores) - UNK_PENALTY,
        "lowest_id": ids[model["vocab"][lowest][0]],
        "mask_token": MASK if library.id_of(MASK) is not None else None,
        "layout": [layout.first, layout.middle, layout.last, layout.pair_type],
        "added_tokens": rules["added_tokens"],
        "rules": rule_flags(rules["normalizer"], rules["pre_tokenizer"]),
        "other_normalizers": other_normalizers(rules["normalizer"]),
        "pre_tokenizer": rules["pre_tokenizer"],
        "drops_first_mark": rules["decoder"]["prepend_scheme"] != "never",
        "white": "".join(sorted(library.white)),
    }
    ends = array("I")
    for piece in pieces:
        ends.append((ends[-1] if ends else 0) + len(piece))
    return write(facts, {
        "units": units, "classes": classes_of(keys_of(charsmap) if charsmap else (), library.white),
        "map": charsmap[4 : 4 + n_map], "replacements": charsmap[4 + n_map :],
        "pieces": b"".join(pieces), "piece_ends": ends.tobytes(),
    })  # fmt: skip


def _trie(ids: Mapping[bytes, int], scores: list[float], kernel: Kernel) -> memoryview:
    keys = sorted(ids)
    offsets = array("q", [0])
    for key in keys:
        offsets.append(offsets[-1] + len(key))
    arguments = [
        b"".join(keys), _pointer(offsets), ctypes.c_int64(len(keys)),
        _pointer(array("d", [scores[ids[key]] for key in keys])), _pointer(array("i", [ids[key] for key in keys])),
    ]  # fmt: skip
    capacity = 1024 + offsets[-1] + len(keys)
    units, bases = bytearray(UNIT_BYTES * capacity), bytearray(capacity)
    n_units = kernel.build(*arguments, _pointer(units), _pointer(bases), ctypes.c_int64(capacity))
    if n_units == FULL or n_units >= MAX_UNITS:
        raise ValueError(f"got a vocabulary of {len(keys)} pieces, expected one that fits in {MAX_UNITS} trie nodes")
    return memoryview(units)[: UNIT_BYTES * n_units]


def _pointer(memory: array[Any] | bytearray) -> Any:
    return (ctypes.c_char * (len(memory) * getattr(memory, "itemsize", 1))).from_buffer(memory)
