"""A checkpoint of pickles becomes one of safetensors, and code in a pickle is never run."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import PreTrainedModel

from glossa.checkpoint_conversion.convert import convert
from glossa.checkpoint_conversion.unpickle import check_unpacked, main, plain_tensors
from serve.checkpoints.files import CheckpointError
from serve.engine.load_engine import load_engine
from serve.models.checkpoint_facts import checkpoint_facts
from tests.checkpoints import draw, draw_ids, write
from tests.judge import CASES, judge, judged_model

KIND = "XLMRobertaForSequenceClassification"
ROOT = Path(__file__).resolve().parents[4]


class Planted:
    """A value whose pickle makes a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        """Say that reading this value runs a command."""
        return os.system, (f"touch {self.path}",)


def _pickled(reference: PreTrainedModel, folder: Path) -> Path:
    """Write a checkpoint as older versions of transformers did, with files beside the weights."""
    write(reference, folder)
    (folder / "model.safetensors").unlink()
    torch.save(reference.state_dict(), folder / "pytorch_model.bin")
    (folder / "tokenizer_config.json").write_text("{}")
    return folder


def _equals(reference: PreTrainedModel, folder: Path) -> bool:
    kind = type(reference).__name__
    rows = CASES[kind].rows(draw_ids((7, 1, 33)))
    results = load_engine(judged_model(kind, folder), folder, device="cpu").forward(rows)
    return judge(reference, rows, results, torch.float32).ok


@pytest.mark.parametrize("kind", [KIND, "XLMRobertaForMaskedLM"])
def test_a_converted_checkpoint_answers_as_the_reference(kind: str, tmp_path: Path) -> None:
    """The new folder lies beside the old one, which stays as it is; the tied decoder of a pickle is stored once."""
    reference = draw(kind)
    before = sorted(path.name for path in _pickled(reference, tmp_path / "old").iterdir())
    out = convert(tmp_path / "old")
    assert (out, sorted(path.name for path in (tmp_path / "old").iterdir())) == (tmp_path / "old-safetensors", before)
    assert sorted(path.name for path in out.iterdir()) == ["config.json", "model.safetensors", "tokenizer_config.json"]
    assert _equals(reference, out)
    with pytest.raises(CheckpointError, match="is there already, expected a new folder"):
        convert(tmp_path / "old")


def test_shards_and_modules_are_converted(tmp_path: Path) -> None:
    """An index of pickles becomes one of safetensors; sentence-transformers' modules and the sparse head come too."""
    reference = draw(KIND)
    folder = _pickled(reference, tmp_path / "old")
    (folder / "pytorch_model.bin").unlink()
    state = reference.state_dict()
    files = {name: f"pytorch_model-0000{1 + number % 2}-of-00002.bin" for number, name in enumerate(state)}
    for file in set(files.values()):
        torch.save({name: state[name] for name in state if files[name] == file}, folder / file)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": files}))
    (folder / "modules.json").write_text(json.dumps([{"path": ""}, {"path": "1_Pooling"}]))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(
        '{"pooling_mode_mean_tokens": true, "word_embedding_dimension": 48}'
    )
    torch.save({"weight": torch.ones(1, 48), "bias": torch.zeros(1)}, folder / "sparse_linear.pt")
    torch.save({"weight": torch.ones(48, 48), "bias": torch.zeros(48)}, folder / "colbert_linear.pt")
    out = convert(folder, tmp_path / "new")
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()) == [
        "1_Pooling/config.json", "config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
        "model.safetensors.index.json", "modules.json", "sparse_linear.safetensors", "tokenizer_config.json",
    ]  # fmt: skip
    assert load_file(out / "sparse_linear.safetensors").keys() == {"weight", "bias"}
    (out / "sparse_linear.safetensors").unlink()
    assert _equals(reference, out)


def test_code_in_a_pickle_is_never_run(tmp_path: Path) -> None:
    """The process refuses the pickle by what it asks for, and leaves no folder."""
    folder = _pickled(draw("XLMRobertaModel"), tmp_path / "old")
    torch.save({"weight": torch.ones(1), "planted": Planted(tmp_path / "ran")}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin asks for more than tensors: .*system"):
        convert(folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old"]


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"\x80\x02}."])
def test_a_pickle_that_is_broken_or_empty_is_named(
    data: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file without tensors by name gives one sentence."""
    (tmp_path / "pytorch_model.bin").write_bytes(data)
    assert main([str(tmp_path / "pytorch_model.bin"), str(tmp_path / "new")]) != 0
    assert capsys.readouterr().err.startswith("pytorch_model.bin ")
    assert not (tmp_path / "new").exists()


def test_a_folder_without_pickles_is_not_converted(tmp_path: Path) -> None:
    """The error says that there is nothing to do."""
    write(draw("XLMRobertaModel"), tmp_path)
    with pytest.raises(CheckpointError, match=r"expected a folder with pytorch_model\.bin; it has model\.safetensors"):
        convert(tmp_path)


def test_the_hint_runs_as_pasted(tmp_path: Path) -> None:
    """The line names the class of `architectures`; pasted into a shell it makes the folder one that is served."""
    folder = _pickled(draw(KIND), tmp_path / "it's old")
    with pytest.raises(CheckpointError, match=r"holds pytorch_model\.bin but no model\.safetensors") as refused:
        checkpoint_facts(folder)
    ours, line = str(refused.value.hint).split(", or: ")
    assert shlex.split(ours.removeprefix("convert it: ")) == [
        "glossa", "catalog", "add", str(folder), "--name", "NAME", "--convert",
    ]  # fmt: skip
    done = subprocess.run(line, shell=True, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S602 - it is what a user pastes
    assert done.returncode == 0, done.stderr
    assert list(checkpoint_facts(folder).heads) == ["classifier", "embed"]


def test_a_state_dict_within_a_training_state_is_found() -> None:
    """Lightning stores the tensors below `state_dict`, others elsewhere; what is no tensor is refused."""
    for name in ("state_dict", "model_state_dict", "model", "module"):
        assert plain_tensors({name: {"a": torch.ones(1)}, "epoch": 3}).keys() == {"a"}
    with pytest.raises(ValueError, match="it holds a dict, expected tensors by name"):
        plain_tensors({"a": 3})


def test_a_small_pickle_does_not_become_huge_tensors(tmp_path: Path) -> None:
    """Tensors that repeat few numbers, and archives that unpack to many bytes, are refused before they take memory."""
    with pytest.raises(ValueError, match="its tensors take 1,099,511,627,776 bytes, expected at most 1,000"):
        plain_tensors({"a": torch.ones(1).expand(2**38)}, 1000)
    with zipfile.ZipFile(tmp_path / "bomb", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data/0", bytes(10_000))
    with pytest.raises(ValueError, match="its parts take 10,000 bytes, expected at most 1,000"):
        check_unpacked(tmp_path / "bomb", 1000)


def test_tensors_that_are_no_plain_numbers_are_refused() -> None:
    """A sparse tensor has no place in safetensors."""
    with pytest.raises(ValueError, match="tensor a is sparse, quantized or empty, expected plain numbers"):
        plain_tensors({"a": torch.ones(2).to_sparse()})
