"""Which tensors of a checkpoint folder are read, and which folders are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from serve.checkpoints.read import SINGLE, CheckpointError, read_tensors, tensor_shapes, weight_files
from serve.checkpoints.verify import weights_sha256
from tests.unit.serve.checkpoints.shards import write_index


def test_shards_read_as_one(sharded: Path) -> None:
    """Tensors are found in every shard. Names that no shard has are left out."""
    assert tensor_shapes(sharded) == {"a": (2,), "b": (3, 4)}
    tensors = read_tensors(sharded, {"b", "c"})
    assert {name: tensor.tolist() for name, tensor in tensors.items()} == {"b": torch.zeros(3, 4).tolist()}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../secret.safetensors", "names '../secret.safetensors', expected names such as"),
        ("/etc/passwd", "names '/etc/passwd'"),
        ("model-00009-of-00002.safetensors", "which is not in"),
    ],
)
def test_an_index_names_files_of_its_folder_alone(sharded: Path, name: str, said: str) -> None:
    """An index that names a file outside the folder, or a missing file, is refused."""
    write_index(sharded, "model-00001-of-00002.safetensors", name)
    with pytest.raises(CheckpointError, match=said):
        weight_files(sharded)


def test_a_pickle_is_refused_with_a_way_forward(tmp_path: Path) -> None:
    """A checkpoint that holds only pickles is refused by name, and the hint says how to convert it."""
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x02.")
    with pytest.raises(
        CheckpointError, match=r"pytorch_model\.bin but no model\.safetensors; pickles are never"
    ) as caught:
        weights_sha256(tmp_path)
    assert "save_pretrained" in str(caught.value.hint)


@pytest.mark.parametrize("data", [b"", b"\xff" * 64, b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_a_broken_file_is_named(tmp_path: Path, data: bytes) -> None:
    """Bytes that are not safetensors give an error that names the file, or hold no tensor."""
    (tmp_path / SINGLE).write_bytes(data)
    try:
        assert tensor_shapes(tmp_path) == {}
    except CheckpointError as error:
        assert SINGLE in error.message  # noqa: PT017 - either outcome is right


def test_integers_are_no_weights(tmp_path: Path) -> None:
    """Integer tensors are refused by name, but stored index buffers are not."""
    save_file({"embeddings.position_ids": torch.arange(3), "w": torch.ones(2, dtype=torch.int8)}, tmp_path / SINGLE)
    with pytest.raises(CheckpointError, match="tensor w is I8, expected one of"):
        tensor_shapes(tmp_path)
