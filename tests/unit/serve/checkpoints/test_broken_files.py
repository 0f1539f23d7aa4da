"""What a file is instead of what its name says, as people have it after a download that failed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from glossa.checkpoint_conversion.convert import convert
from serve.checkpoints.files import CheckpointError, read_json
from serve.checkpoints.read import SINGLE, tensor_shapes

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1112201288\n"
WHOLE = save({"a": torch.ones(100)})


@pytest.mark.parametrize(
    ("data", "said", "advice"),
    [
        (POINTER, "is a pointer of Git LFS, not the file itself, expected a safetensors file", "git lfs pull"),
        (b"<!doctype html><title>404</title>", "is a web page, not the file itself", "download or copy it again"),
        (b"", "is empty", "download or copy it again"),
        (WHOLE[:20], f"is cut off: it has 20 bytes, its header says {len(WHOLE) - 400}", "download or copy it again"),
        (WHOLE[:-1], f"is cut off: it has {len(WHOLE) - 1} bytes, its header says {len(WHOLE)}", "copy it again"),
        (
            b"PK\x03\x04" + b"data" * 9,
            "is a pickle under another name",
            "rename model.safetensors to pytorch_model.bin",
        ),
        (b"GGUF" + b"\0" * 40, "is a file of llama.cpp", "take the safetensors of the model"),
        (b"\xff" * 40, "cannot be read: ", "download or copy it again"),
        (b"\x02\0\0\0\0\0\0\0[]", "cannot be read: ", "download or copy it again"),
    ],
)
def test_weights_that_are_no_safetensors_are_named(data: bytes, said: str, advice: str, tmp_path: Path) -> None:
    """The error says what the file is, and what to do."""
    (tmp_path / SINGLE).write_bytes(data)
    with pytest.raises(CheckpointError) as caught:
        tensor_shapes(tmp_path)
    assert said in caught.value.message
    assert advice in str(caught.value.hint)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (POINTER, "is a pointer of Git LFS, not the file itself, expected JSON"),
        (b"", "is empty, expected JSON"),
        (b"\xef\xbb\xbf{}", "cannot be read as JSON: .*BOM"),
        (None, r"holds no config\.json, expected one"),
    ],
)
def test_a_json_file_that_is_none_is_named(data: bytes | None, said: str, tmp_path: Path) -> None:
    """A missing file is named in a plain sentence too."""
    if data is not None:
        (tmp_path / "config.json").write_bytes(data)
    with pytest.raises(CheckpointError, match=said):
        read_json(tmp_path / "config.json")


def test_a_pointer_is_not_converted(tmp_path: Path) -> None:
    """`--convert` starts no process for it."""
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "config.json").write_text("{}")
    (tmp_path / "old" / "pytorch_model.bin").write_bytes(POINTER)
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin is a pointer of Git LFS"):
        convert(tmp_path / "old")
