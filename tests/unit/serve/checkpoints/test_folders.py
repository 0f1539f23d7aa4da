"""What a folder is, where its transformer lies, and the sentence for each folder that is no checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from serve.checkpoints.files import CheckpointError
from serve.checkpoints.folders import module_folders, transformer_folder, unread_files
from serve.checkpoints.read import weight_files


def _modules(folder: Path, *paths: object) -> None:
    (folder / "modules.json").write_text(json.dumps([{"idx": n, "path": path} for n, path in enumerate(paths)]))


def test_the_transformer_is_the_first_module(tmp_path: Path) -> None:
    """Its folder is the one that modules.json names, or the folder itself."""
    (tmp_path / "config.json").write_text("{}")
    assert transformer_folder(tmp_path) == tmp_path
    _modules(tmp_path, "", "1_Pooling")
    assert transformer_folder(tmp_path) == tmp_path
    (tmp_path / "0_Transformer").mkdir()
    (tmp_path / "config.json").rename(tmp_path / "0_Transformer" / "config.json")
    _modules(tmp_path, "0_Transformer", "1_Pooling")
    assert transformer_folder(tmp_path) == tmp_path / "0_Transformer"
    (tmp_path / "modules.json").unlink()
    assert transformer_folder(tmp_path) == tmp_path / "0_Transformer"


@pytest.mark.parametrize("path", ["../elsewhere", "/etc", "a/b", None, 3])
def test_a_module_lies_in_the_folder(path: object, tmp_path: Path) -> None:
    """A place outside the folder is refused."""
    _modules(tmp_path, path)
    with pytest.raises(CheckpointError, match=r"modules\.json has a module at .* expected the name of a folder in it"):
        module_folders(tmp_path)


def test_each_folder_that_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    """Nothing, a file, an empty folder, a training run, and a folder without weights are told apart."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "run" / "checkpoint-500").mkdir(parents=True)
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "config.json").write_text("{}")
    for name, said in [
        ("nowhere", "is not there, expected a folder with a checkpoint"),
        ("file", "is a file, expected the folder that holds it"),
        ("empty", "is empty, expected config"),
        ("run", "is the folder of a training run, expected one of its states: checkpoint-500"),
        ("bare", "holds no model.safetensors and no model"),
    ]:
        with pytest.raises(CheckpointError, match=said):
            weight_files(tmp_path / name)


@pytest.mark.parametrize("inner", ["xlm-r", "snapshots/4d7a214614ab2935c943f9e0ff69d22eadbb8f32"])
def test_a_folder_around_a_checkpoint_names_it(inner: str, tmp_path: Path) -> None:
    """An unpacked archive, and the cache of the hub library, have the checkpoint further within."""
    (tmp_path / inner).mkdir(parents=True)
    (tmp_path / inner / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"holds no config\.json") as refused:
        weight_files(tmp_path)
    assert refused.value.hint == f"give the folder within it: {tmp_path / inner}"


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"peft_type": "IA3", "base_model_name_or_path": "base"}, r"an adapter \(IA3\) of base"),
        ({"architecture": "seq_bn", "model_name": "base"}, r"an adapter \(of the library adapters\) of base"),
    ],
)
def test_an_adapter_that_merge_does_not_take_has_other_advice(facts: dict[str, str], said: str, tmp_path: Path) -> None:
    """The advice is never a command that refuses the folder again."""
    (tmp_path / "adapter_config.json").write_text(json.dumps(facts))
    with pytest.raises(CheckpointError, match=said) as refused:
        weight_files(tmp_path)
    assert "merge it with the library that made it" in str(refused.value.hint)


@pytest.mark.parametrize("beside", ["config.json", "README.md"])
def test_an_adapter_is_named_with_its_base(beside: str, tmp_path: Path) -> None:
    """One sentence says what it is and what it belongs to, and the hint is the command that merges it."""
    facts = {"peft_type": "LORA", "base_model_name_or_path": "FacebookAI/xlm-roberta-base"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(facts))
    (tmp_path / beside).write_text("{}")
    with pytest.raises(CheckpointError, match=r"is an adapter \(LORA\) of FacebookAI/xlm-roberta-base") as refused:
        weight_files(tmp_path)
    assert f"glossa catalog add {tmp_path} --merge BASE" in str(refused.value.hint)


def test_modules_are_not_said_to_be_unread(tmp_path: Path) -> None:
    """A module is applied, or the folder is refused, so no line says that its vectors are others."""
    _modules(tmp_path, "", "1_Pooling", "2_Normalize")
    assert unread_files(tmp_path) == ()
