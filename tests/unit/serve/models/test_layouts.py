"""Every layout in which people have a checkpoint answers as the reference, or is refused by what it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from serve.checkpoints.files import SINGLE, CheckpointError
from serve.engine.load_engine import load_engine
from serve.models.checkpoint_facts import checkpoint_facts
from tests import checkpoints, checkpoints_xlm, judge, judge_xlm
from tests.checkpoints import catalog_model, draw, draw_ids, rounded, write
from tests.layouts import LAYOUTS, ROUNDED

LENGTHS = (7, 1, 33, 2, 130)
KINDS = ("XLMRobertaForMaskedLM", "XLMRobertaForSequenceClassification", "XLMRobertaXLModel", "BertForMaskedLM")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_layout_answers_as_the_reference(kind: str, layout: str, tmp_path: Path) -> None:
    """Names, files and dtypes of the weights change no answer."""
    reference = rounded(draw(kind), ROUNDED.get(layout, torch.float32))
    LAYOUTS[layout](write(reference, tmp_path))
    rows = judge.CASES[kind].rows(draw_ids(LENGTHS))
    results = load_engine(judge.judged_model(kind, tmp_path), tmp_path, device="cpu").forward(rows)
    verdict = judge.judge(reference, rows, results, torch.float32)
    assert verdict.ok, verdict


@pytest.mark.parametrize("layout", ["both", "no prefix", "decoder alone", "decoder too", "float64", "0_Transformer"])
def test_a_layout_of_xlm_answers_as_the_reference(layout: str, tmp_path: Path) -> None:
    """The other family has other names."""
    reference = checkpoints_xlm.draw("XLMWithLMHeadModel")
    LAYOUTS[layout](write(reference, tmp_path))
    rows = judge_xlm.rows_for("XLMWithLMHeadModel", langs=False, lengths=LENGTHS)
    results = load_engine(catalog_model(tmp_path), tmp_path, device="cpu").forward(rows)
    verdict = judge_xlm.judge(reference, rows, results, torch.float32)
    assert verdict.ok, verdict


def test_what_is_not_read_is_listed(tmp_path: Path) -> None:
    """Each tensor and each file that is not used has a line of its own."""
    LAYOUTS["further tensors"](write(draw("XLMRobertaForSequenceClassification"), tmp_path))
    for name in ("pytorch_model.bin", "model_head.pkl", "sparse_linear.pt", "colbert_linear.pt"):
        (tmp_path / name).touch()
    assert [line.split(":")[0] for line in checkpoint_facts(tmp_path).ignored] == [
        "pytorch_model.bin", "model_head.pkl", "colbert_linear.pt", "sparse_linear.pt",
        "tensor loss_fct.weight", "tensor n_steps", "tensor old.scale",
    ]  # fmt: skip


def _edit_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


HEADLESS = [
    ("XLMRobertaModel", "XLMRobertaForSequenceClassification", r"lacks 4 tensors: classifier\.dense\.weight"),
    ("XLMRobertaModel", "XLMRobertaForTokenClassification", r"lacks 2 tensors: classifier\.weight"),
    ("XLMRobertaModel", "XLMRobertaForQuestionAnswering", r"lacks 2 tensors: qa_outputs\.weight"),
    ("XLMRobertaModel", "XLMRobertaForMaskedLM", r"lacks \d tensors: lm_head\.bias"),
    ("XLMRobertaXLModel", "XLMRobertaXLForMultipleChoice", r"lacks 2 tensors: classifier\.weight"),
    ("XLMModel", "XLMForSequenceClassification", r"lacks 2 tensors: sequence_summary\.summary"),
    ("XLMModel", "XLMForTokenClassification", r"lacks 2 tensors: classifier\.weight"),
    ("XLMRobertaModel", "XLMRobertaForSpeech", "class XLMRobertaForSpeech, expected one of XLMRobertaForSequenceCl"),
    ("XLMRobertaModel", "CRFTagger", "class CRFTagger, expected one of"),
]


@pytest.mark.parametrize(("drawn", "said", "refusal"), HEADLESS)
def test_a_class_whose_head_is_missing_is_no_embedder(drawn: str, said: str, refusal: str, tmp_path: Path) -> None:
    """The class and the missing tensors are named; as the hint says, a plain class makes it an embedder."""
    draws = checkpoints_xlm if drawn.startswith("XLMModel") else checkpoints
    _edit_config(write(draws.draw(drawn), tmp_path), architectures=[said])
    with pytest.raises(CheckpointError, match=refusal) as refused:
        checkpoint_facts(tmp_path)
    assert f'set "architectures" to ["{drawn}"]' in str(refused.value.hint)
    _edit_config(tmp_path, architectures=[drawn])
    assert list(checkpoint_facts(tmp_path).heads) == ["embed"]


def test_an_embedder_needs_no_head_for_a_vocabulary(tmp_path: Path) -> None:
    """A sentence-transformers folder may name the class that it was trained from."""
    _edit_config(write(draw("XLMRobertaModel"), tmp_path), architectures=["XLMRobertaForMaskedLM"])
    (tmp_path / "modules.json").write_text(
        json.dumps([{"path": "", "type": "sentence_transformers.models.Transformer"}])
    )
    assert list(checkpoint_facts(tmp_path).heads) == ["embed"]


def _write_tensors(folder: Path, **more: torch.Tensor) -> None:
    save_file(load_file(folder / SINGLE) | more, folder / SINGLE)


def test_tensors_behind_an_unknown_prefix_are_named(tmp_path: Path) -> None:
    """The prefix is named, and not forty missing tensors."""
    write(draw("XLMRobertaModel"), tmp_path)
    save_file({f"tower.{name}": tensor for name, tensor in load_file(tmp_path / SINGLE).items()}, tmp_path / SINGLE)
    with pytest.raises(CheckpointError, match=r"backbone's tensors lie behind 'tower\.'"):
        checkpoint_facts(tmp_path)


def test_one_tensor_has_one_name(tmp_path: Path) -> None:
    """Two tensors that differ in a prefix alone are not chosen from."""
    _write_tensors(write(draw("XLMRobertaModel"), tmp_path), **{"module.pooler.dense.bias": torch.ones(48)})
    with pytest.raises(CheckpointError, match=r"holds both .*pooler\.dense\.bias"):
        checkpoint_facts(tmp_path)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (torch.full((48,), torch.nan), r"tensor embeddings\.LayerNorm\.bias holds NaN in model\.safetensors"),
        (torch.ones(48, dtype=torch.float8_e4m3fn), r"tensor embeddings\.LayerNorm\.bias is F8_E4M3, expected one of"),
        (torch.ones(48, dtype=torch.int8), r"tensor embeddings\.LayerNorm\.bias is I8, expected one of"),
    ],
)
def test_weights_that_are_no_plain_numbers_are_named(value: torch.Tensor, said: str, tmp_path: Path) -> None:
    """NaN, float8 and integers are found when a model is added, and name the tensor."""
    _write_tensors(write(draw("XLMRobertaModel"), tmp_path), **{"embeddings.LayerNorm.bias": value})
    with pytest.raises(CheckpointError, match=said):
        checkpoint_facts(tmp_path)


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_remote_code_is_refused_by_name(file: str, tmp_path: Path) -> None:
    """The file and the class that it would run are named, whatever model_type says."""
    write(draw("XLMRobertaModel"), tmp_path)
    facts: dict[str, Any] = {"model_type": "flash", "auto_map": {"AutoModel": "org/code--modeling.Flash"}}
    (tmp_path / file).write_text(json.dumps(facts))
    with pytest.raises(CheckpointError, match=rf"{file} asks for remote code \(auto_map: org/code--modeling\.Flash\)"):
        checkpoint_facts(tmp_path)
