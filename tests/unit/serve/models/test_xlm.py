"""XLM equals the reference for every option of its configuration, and the comparison can fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import XLMConfig

from serve.engine.load_engine import load_engine
from serve.models.xlm import encoder
from tests.checkpoints import catalog_model, write
from tests.checkpoints_xlm import LANGS, draw
from tests.faults import FAULTS, Build, build_of, swapped
from tests.judge import FAULT_FACTOR, reference_inputs
from tests.judge_xlm import CASES, Switches, choices_for, judge, public_classes, rows_for, trial

TRIALS = [(kind, switches) for kind in CASES for switches in choices_for(kind)]


def test_no_class_is_forgotten() -> None:
    """Every class that the installed transformers has for this family is compared."""
    assert sorted(public_classes()) == sorted(CASES)


@pytest.mark.parametrize(("kind", "switches"), TRIALS, ids=[f"{k}-{'-'.join(s.values())}" for k, s in TRIALS])
def test_packed_rows_equal_the_reference(kind: str, switches: Switches, tmp_path: Path) -> None:
    """Rows of 1 to 512 tokens, with and without languages, types and own positions, equal the reference."""
    verdict = trial(kind, switches, tmp_path)
    assert verdict.ok, verdict


@pytest.mark.skipif(not torch.cuda.is_available(), reason="variable-length attention runs on CUDA alone")
@pytest.mark.parametrize(("kind", "switches"), TRIALS, ids=[f"{k}-{'-'.join(s.values())}" for k, s in TRIALS])
def test_the_same_holds_on_cuda(kind: str, switches: Switches, tmp_path: Path) -> None:
    """The attention of the device is held to the same bounds."""
    verdict = trial(kind, switches, tmp_path, device="cuda")
    assert verdict.ok, verdict


def test_attentions_are_the_references(tmp_path: Path) -> None:
    """The attention probabilities of every layer and head equal those of the reference, causal or not."""
    for causal in (False, True):
        reference = draw("XLMModel", causal=causal)
        folder = write(reference, tmp_path / str(causal))
        row = replace(rows_for("XLMModel", langs=False, lengths=[9])[0], layers=(), attentions=True)
        output: Any = load_engine(catalog_model(folder), folder, device="cpu").forward([row])[0]
        with torch.no_grad():
            theirs = reference(**reference_inputs(row), output_attentions=True).attentions
        torch.testing.assert_close(output["attentions"], torch.cat(theirs).flatten(), rtol=1e-5, atol=1e-6)


def test_a_row_without_languages_has_none(tmp_path: Path) -> None:
    """A row without languages, beside rows with languages, equals the reference without languages."""
    reference = draw("XLMForTokenClassification", **LANGS["languages"])
    folder = write(reference, tmp_path)
    rows = rows_for("XLMForTokenClassification", langs=True, lengths=(5, 5, 5))
    assert [row.lang_ids is None for row in rows] == [False, True, False]
    engine = load_engine(catalog_model(folder), folder, device="cpu")
    assert judge(reference, rows, engine.forward(rows), torch.float32).ok


def _changed(name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Build], Build]:
    return lambda build: replace(build, tensors={**build.tensors, name: change(build.tensors[name])})


def _configured(**settings: object) -> Callable[[Build], Build]:
    return lambda build: replace(build, config=XLMConfig(**{**build.config.to_dict(), **settings}))


def _without_langs(build: Build) -> Build:
    return replace(build, rows=[replace(row, lang_ids=None) for row in build.rows])


def _without_bias(build: Build) -> Build:
    def change(name: str, tensor: torch.Tensor) -> torch.Tensor:
        return tensor * 0 if name.endswith("bias") and name.startswith(encoder.OTHER_HEADS) else tensor

    return replace(build, tensors={name: change(name, tensor) for name, tensor in build.tensors.items()})


SHARED = (
    "attention scale", "row leaks into its neighbour", "tanh GELU", "LayerNorm eps", "token types unread",
    "given positions unread", "tokens rolled by one", "causal mask off by one", "causal mask a step behind",
)  # fmt: skip
PLANTED: Mapping[str, Callable[[Build], Build]] = {
    **{name: FAULTS[name] for name in SHARED},
    "position off by one": _changed(encoder.POSITIONS, partial(torch.roll, shifts=1, dims=0)),
    "ReLU for GELU": _configured(gelu_activation=False),
    "Q and K swapped": swapped("q_lin", "k_lin"),
    "missing head bias": _without_bias,
    "languages unread": _without_langs,
    "languages off by one": _changed(encoder.LANGS, partial(torch.roll, shifts=1, dims=0)),
    "causal mask forgotten": _configured(causal=False),
    "summary of the wrong token": _configured(summary_type="last"),
}


def _shows(kind: str, fault: str) -> bool:
    """Say whether a class can show a fault."""
    if fault.startswith("summary"):
        return kind in {"XLMForSequenceClassification", "XLMForMultipleChoice"}
    return (kind, fault) != ("XLMModel", "missing head bias")


@pytest.mark.parametrize(("kind", "fault"), [(k, f) for k in CASES for f in PLANTED if _shows(k, f)])
def test_a_planted_fault_is_found(kind: str, fault: str, tmp_path: Path) -> None:
    """Each fault moves the answers by at least 5 bounds. Without it they are equal."""
    backwards = {"causal": True, "summary_type": "last"} if fault.startswith("causal") else {}
    reference = draw(kind, **LANGS["languages"], **backwards)
    rows = rows_for(kind, langs=True, lengths=(4, 9, 40, 2, 60, 12, 25, 9, 7, 30))
    sound = build_of(reference, catalog_model(write(reference, tmp_path)), rows)
    assert judge(reference, rows, sound.engine().forward(rows), torch.float32).ok
    faulty = PLANTED[fault](sound)
    assert judge(reference, rows, faulty.engine().forward(faulty.rows), torch.float32).times_bound >= FAULT_FACTOR
