"""Which tensors of a checkpoint folder are read, and which folders are refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from serve.checkpoints.read import SINGLE, CheckpointError, read_json, read_tensors, tensor_shapes, weight_files
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


def test_shards_may_have_any_name(sharded: Path) -> None:
    """The index says which files there are."""
    (sharded / "model-00002-of-00002.safetensors").rename(sharded / "heads_part.safetensors")
    write_index(sharded, "model-00001-of-00002.safetensors", "heads_part.safetensors")
    assert tensor_shapes(sharded) == {"a": (2,), "b": (3, 4)}


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            ("pytorch_model.bin", "colbert_linear.pt"),
            r"holds pytorch_model\.bin but no model\.safetensors; a pickle is",
        ),
        (("pytorch_model-00001-of-00002.bin",), r"holds pytorch_model-00001-of-00002\.bin but no"),
        (("tf_model.h5",), r"holds tf_model\.h5, weights of TensorFlow, but no"),
        (("xlmr.pt", "training_args.bin"), r"holds xlmr\.pt, a pickle, but no"),
        (("openvino_model.bin",), r"holds openvino_model\.bin, weights of OpenVINO, but no"),
        (("model.gguf",), r"holds model\.gguf, weights of llama\.cpp, but no"),
        (("flax_model.msgpack",), r"holds flax_model\.msgpack, weights of Flax, but no"),
        (("MODEL.SAFETENSORS",), r"holds MODEL\.SAFETENSORS but no model\.safetensors"),
        (("model.fp16.safetensors",), r"holds model\.fp16\.safetensors but no model\.safetensors"),
        (("model-00001-of-00002.safetensors",), r"00002\.safetensors but no model\.safetensors\.index\.json"),
        (("training_args.bin", "optimizer.pt"), r"holds no model\.safetensors and no model"),
    ],
)
def test_a_folder_without_safetensors_is_named_by_what_it_holds(
    names: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    """Pickles of weights, weights of other libraries, and files of a training run are told apart."""
    for name in names:
        (tmp_path / name).write_bytes(b"\x80\x02.")
    with pytest.raises(CheckpointError, match=said):
        weights_sha256(tmp_path)


def test_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    """The cache of the hub library has such links after its blobs are removed."""
    (tmp_path / SINGLE).symlink_to("../../blobs/4d7a")
    (tmp_path / "config.json").symlink_to("../../blobs/1f2e")
    for read in (weights_sha256, lambda folder: read_json(folder / "config.json")):
        with pytest.raises(CheckpointError, match=r"is a link to \.\./\.\./blobs/\w+, which is not there"):
            read(tmp_path)


@pytest.mark.parametrize("data", [b"", b"\xff" * 64, b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_a_broken_file_is_named(tmp_path: Path, data: bytes) -> None:
    """Bytes that are not safetensors give an error that names the file, or hold no tensor."""
    (tmp_path / SINGLE).write_bytes(data)
    try:
        assert tensor_shapes(tmp_path) == {}
    except CheckpointError as error:
        assert SINGLE in error.message  # noqa: PT017 - either outcome is right


@pytest.mark.parametrize(
    ("value", "dtype", "said"),
    [
        (float("nan"), None, "tensor b holds NaN in model.safetensors"),
        (float("-inf"), None, "tensor b holds an infinite number in model.safetensors"),
        (1e30, torch.float16, "tensor b holds an infinite number in torch.float16, as stored all are finite"),
    ],
)
def test_a_tensor_that_is_not_finite_is_named(
    value: float, dtype: torch.dtype | None, said: str, tmp_path: Path
) -> None:
    """One NaN among thousands of numbers is found, and so is one that is too large for the dtype."""
    values = torch.ones(3000)
    values[1234] = value
    save_file({"a": torch.ones(2), "b": values}, tmp_path / SINGLE)
    with pytest.raises(CheckpointError, match=re.escape(said)):
        read_tensors(tmp_path, {"a", "b"}, dtype)


def test_large_finite_numbers_are_read(tmp_path: Path) -> None:
    """A sum that overflows is no infinite number."""
    save_file({"a": torch.full((9,), 3e38)}, tmp_path / SINGLE)
    assert float(read_tensors(tmp_path, {"a"})["a"].max()) > 1e38
