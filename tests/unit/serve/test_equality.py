"""The engine equals the reference, and the judge that says so can fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedModel, XLMRobertaConfig

from serve.attention import attend_runs
from serve.describe import check_tensors
from serve.engine import PackedEngine, build_engine, load_engine
from serve.families import FAMILIES
from serve.families.parts import Parts, reference_positions
from serve.pack import Spans, lay_out
from shared.errors import GlossaError
from tests.checkpoints import catalog_model, draw, draw_ids, write
from tests.judge import CASES, DTYPES, FAULT_FACTOR, NOT_YET, VOCABULARIES, judge, public_classes, trial

CPU = torch.device("cpu")


def test_no_class_is_forgotten() -> None:
    """Every class the installed transformers publishes for this family is judged or named as still to do."""
    assert sorted(public_classes()) == sorted([*CASES, *NOT_YET])


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", CASES)
def test_packed_rows_equal_the_reference(kind: str, dtype: str, vocabulary: str, tmp_path: Path) -> None:
    """Mixed rows of 1 to 512 tokens, packed in one pass, equal the reference on each row alone."""
    verdict = trial(kind, dtype, VOCABULARIES[vocabulary], tmp_path)
    assert verdict.ok, verdict


@pytest.mark.skipif(not torch.cuda.is_available(), reason="variable-length attention runs on CUDA alone")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", CASES)
def test_the_same_holds_on_cuda(kind: str, dtype: str, tmp_path: Path) -> None:
    """The device's own attention path is held to the same bounds."""
    verdict = trial(kind, dtype, VOCABULARIES["xlm-r"], tmp_path, device="cuda")
    assert verdict.ok, verdict


Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Build:
    """What an engine is built from; a fault changes one thing of it."""

    config: XLMRobertaConfig
    tensors: Tensors
    parts: Parts


def _scaled(build: Build) -> Build:
    return replace(
        build,
        parts=replace(
            build.parts, attend=lambda qkv, spans, scale, causal: attend_runs(qkv, spans, scale * 1.05, causal)
        ),
    )


def _leaking(build: Build) -> Build:
    def attend(qkv: torch.Tensor, spans: Spans, scale: float, causal: bool) -> torch.Tensor:  # noqa: FBT001 - an Attend
        first, second, *others = spans.lengths
        return attend_runs(qkv, lay_out([first + second, *others], CPU), scale, causal)

    return replace(build, parts=replace(build.parts, attend=attend))


def _late(build: Build) -> Build:
    def positions(ids: torch.Tensor, spans: Spans, pad_id: int) -> torch.Tensor:
        return (reference_positions(ids, spans, pad_id) - 1).clamp(min=0)

    return replace(build, parts=replace(build.parts, positions=positions))


def _counting_pads(build: Build) -> Build:
    def positions(ids: torch.Tensor, spans: Spans, pad_id: int) -> torch.Tensor:
        return reference_positions(ids.where(ids != pad_id, pad_id + 1), spans, pad_id)

    return replace(build, parts=replace(build.parts, positions=positions))


def _tanh_gelu(build: Build) -> Build:
    return replace(build, parts=replace(build.parts, activate=partial(F.gelu, approximate="tanh")))


def _usual_eps(build: Build) -> Build:
    return replace(build, config=XLMRobertaConfig(**{**build.config.to_dict(), "layer_norm_eps": 1e-5}))


def _swapped(build: Build) -> Build:
    places = {"query": "key", "key": "query"}

    def swap(name: str) -> str:
        part = name.split(".")[-2]
        return name.replace(f".{part}.", f".{places.get(part, part)}.")

    return replace(build, tensors={swap(name): tensor for name, tensor in build.tensors.items()})


def _without_bias(build: Build) -> Build:
    biases = {"classifier.bias", "classifier.out_proj.bias", "lm_head.bias", "lm_head.decoder.bias"}
    return replace(build, tensors={k: t * 0 if k in biases else t for k, t in build.tensors.items()})


FAULTS: Mapping[str, Callable[[Build], Build]] = {
    "attention scale": _scaled,
    "row leaks into its neighbour": _leaking,
    "position off by one": _late,
    "pad ids counted": _counting_pads,
    "tanh GELU": _tanh_gelu,
    "LayerNorm eps": _usual_eps,
    "Q and K swapped": _swapped,
    "missing head bias": _without_bias,
}
HEADLESS = {("XLMRobertaModel", "missing head bias")}


def _build(reference: PreTrainedModel, folder: Path) -> tuple[Build, Callable[[Build], PackedEngine]]:
    model = catalog_model(write(reference, folder))
    stored = {name: tensor.detach() for name, tensor in reference.state_dict().items()}
    shapes = {name: tuple(tensor.shape) for name, tensor in stored.items()}
    backbone, heads = check_tensors(shapes, FAMILIES[model.family], reference.config, model.heads.values())
    tensors = {backbone.get(name, name): stored[name] for name in backbone.keys() | heads}
    return Build(reference.config, tensors, Parts()), lambda b: build_engine(
        model, b.config, b.tensors, device=CPU, parts=b.parts
    )


@pytest.mark.parametrize(("kind", "fault"), [(k, f) for k in CASES for f in FAULTS if (k, f) not in HEADLESS])
def test_a_planted_fault_is_found(kind: str, fault: str, tmp_path: Path) -> None:
    """Each fault moves the answers at least 5 bounds away; without it they are equal."""
    reference = draw(kind)
    sound, engine_of = _build(reference, tmp_path)
    rows = CASES[kind].asks(draw_ids((4, 9, 40, 2, 60, 12, 25, 9, 7, 30)))
    assert judge(reference, rows, engine_of(sound).forward(rows), torch.float32).ok
    faulty = judge(reference, rows, engine_of(FAULTS[fault](sound)).forward(rows), torch.float32)
    assert faulty.times_bound >= FAULT_FACTOR


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> PackedEngine:
    """Load one small token classifier."""
    folder = write(draw("XLMRobertaForTokenClassification"), tmp_path_factory.mktemp("tagger"))
    return load_engine(catalog_model(folder), folder, device="cpu")


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_partition_answers_the_same(tagger: PackedEngine, data: st.DataObject) -> None:
    """However rows are cut into batches and ordered, each row's answer stays within 1e-5."""
    lengths = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=10))
    rows = CASES["XLMRobertaForTokenClassification"].asks(draw_ids(lengths, seed=len(lengths)))
    places = data.draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows)))
    together = tagger.forward(rows)
    for place in set(places):
        chosen = data.draw(st.permutations([i for i, p in enumerate(places) if p == place]))
        for index, apart in zip(chosen, tagger.forward([rows[i] for i in chosen]), strict=True):
            whole = together[index]
            assert not isinstance(whole, GlossaError)
            assert not isinstance(apart, GlossaError)
            torch.testing.assert_close(apart["logits"], whole["logits"], rtol=1e-5, atol=1e-5)
