"""The engine equals the reference, and the comparison can fail."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.engine.engine import PackedEngine
from serve.engine.load_engine import load_engine
from shared.errors import GlossaError
from tests import judge_xlm
from tests.checkpoints import catalog_model, draw, draw_ids, write
from tests.faults import FAULTS, build_of, shows
from tests.judge import CASES, DTYPES, FAULT_FACTOR, judge, judged_model, likes_of, public_classes, trial

TRIALS = [(kind, like) for kind in CASES for like in likes_of(kind)]


def test_no_class_is_forgotten() -> None:
    """Every class that the installed transformers has for these families is compared."""
    assert sorted(public_classes()) == sorted([*CASES, *judge_xlm.CASES])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("kind", "like"), TRIALS)
def test_packed_rows_equal_the_reference(kind: str, like: str, dtype: str, tmp_path: Path) -> None:
    """Rows of 1 to 512 tokens, packed in one pass, equal the reference on each row alone."""
    verdict = trial(kind, like, dtype, tmp_path)
    assert verdict.ok, verdict


@pytest.mark.skipif(not torch.cuda.is_available(), reason="variable-length attention runs on CUDA alone")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", CASES)
def test_the_same_holds_on_cuda(kind: str, dtype: str, tmp_path: Path) -> None:
    """The attention of the device is held to the same bounds."""
    verdict = trial(kind, likes_of(kind)[0], dtype, tmp_path, device="cuda")
    assert verdict.ok, verdict


@pytest.mark.parametrize(("kind", "fault"), [(k, f) for k in CASES for f in FAULTS if shows(k, f)])
def test_a_planted_fault_is_found(kind: str, fault: str, tmp_path: Path) -> None:
    """Each fault moves the answers by at least 5 bounds. Without it they are equal."""
    reference = draw(kind)
    rows = CASES[kind].rows(draw_ids((4, 9, 40, 2, 60, 12, 25, 9, 7, 30, 5, 17, 3, 50, 21, 6)))
    sound = build_of(reference, judged_model(kind, write(reference, tmp_path)), rows)
    assert judge(reference, rows, sound.engine().forward(rows), torch.float32).ok
    planted = FAULTS[fault](sound)
    faulty = judge(reference, rows, planted.engine().forward(planted.rows), torch.float32)
    assert faulty.times_bound >= FAULT_FACTOR


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> PackedEngine:
    """Load one small token classifier."""
    folder = write(draw("XLMRobertaForTokenClassification"), tmp_path_factory.mktemp("tagger"))
    return load_engine(catalog_model(folder), folder, device="cpu")


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_partition_answers_the_same(tagger: PackedEngine, data: st.DataObject) -> None:
    """However rows are ordered and divided into batches, the answer of each row stays within 1e-5."""
    lengths = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=10))
    rows = CASES["XLMRobertaForTokenClassification"].rows(draw_ids(lengths, seed=len(lengths)))
    places = data.draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows)))
    together = tagger.forward(rows)
    for place in set(places):
        chosen = data.draw(st.permutations([i for i, p in enumerate(places) if p == place]))
        for index, apart in zip(chosen, tagger.forward([rows[i] for i in chosen]), strict=True):
            whole = together[index]
            assert not isinstance(whole, GlossaError)
            assert not isinstance(apart, GlossaError)
            torch.testing.assert_close(apart["logits"], whole["logits"], rtol=1e-5, atol=1e-5)
