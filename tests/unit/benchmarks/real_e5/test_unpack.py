"""Weights in 4 bits: a file of the smallest model, written here by the format's rules, is read back."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from benchmarks.real_e5.unpack import read_weights

HIDDEN, ROWS = 32, 2
EIGHTHS = np.arange(HIDDEN * ROWS).reshape(ROWS, HIDDEN) % 16 - 8  # what 4 bits can say, in units of the scale
SCALE = 0.125


def _four_bits(numbers: np.ndarray) -> bytes:
    blocks = (numbers.reshape(-1, 32) + 8).astype(np.uint8)
    return b"".join(np.float16(SCALE).tobytes() + bytes(block[:16] | block[16:] << 4) for block in blocks)


def _file(magic: bytes = b"E5S1") -> bytes:
    """Return a file with the word embeddings and one bias, behind a tokenizer of one piece and one rule."""
    bias = np.arange(HIDDEN, dtype=np.float32)
    stored = {"emb.word": (1, _four_bits(EIGHTHS)), "l3.ao.b": (0, bias.tobytes())}
    head = magic + struct.pack("<I7ifi", 1, HIDDEN, 4, 2, 64, ROWS, 8, 1, 1e-12, 32)
    head += struct.pack("<5iQ", 1, 0, 2, 1, 3, 3) + struct.pack("<2I", 0, 3) + struct.pack("<f", -1.0) + b"abc"
    head += struct.pack("<iI", 1, 5) + b"rules" + struct.pack("<i", len(stored))
    start = len(head) + sum(2 + len(name) + 21 for name in stored)
    entries = data = b""
    for name, (four_bits, content) in stored.items():
        entries += struct.pack("<H", len(name)) + name.encode()
        entries += struct.pack("<BIQQ", four_bits, HIDDEN, start + len(data), len(content))
        data += content
    return head + entries + data


def test_four_bits_are_widened_in_the_order_of_the_numbers() -> None:
    """The low halves of the bytes are the first 16 numbers of a block, the high halves the others."""
    _, tensors = read_weights(_file())
    words = tensors["embeddings.word_embeddings.weight"]
    assert words.tolist() == (EIGHTHS * SCALE).tolist()


def test_sizes_and_names_are_those_of_bert() -> None:
    """The header becomes config.json, and a name such as `l3.ao.b` that of a tensor of BertModel."""
    config, tensors = read_weights(_file())
    assert tensors["encoder.layer.3.attention.output.dense.bias"].tolist() == list(range(HIDDEN))
    assert (config["model_type"], config["num_hidden_layers"], config["layer_norm_eps"]) == ("bert", 4, 1e-12)


def test_another_form_is_refused() -> None:
    """The bytes found and those expected are in the message."""
    with pytest.raises(ValueError, match=r"got b'GGUF'.*expected b'E5S1'"):
        read_weights(_file(b"GGUF"))
