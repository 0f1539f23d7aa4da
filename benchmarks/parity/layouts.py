"""Checks every head in every layout in which people have a checkpoint, in each dtype, against transformers.

A layout holds the same model under other names, in other files or in another dtype (tests/layouts.py). The reference is
the model that was drawn, before it was written. Folders also declare what many have: one linear layer on pooled
vectors, sparse vectors, a pooling and length 1. One line for each head has its worst layout, and one for each layout
its worst head. The worst is the one nearest to its bound. Must not know how the engine reads a checkpoint.
"""

from __future__ import annotations

import copy
import json
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from safetensors.torch import load_file, save_file

from benchmarks.parity.table import Line
from serve.checkpoints.files import SINGLE, SPARSE
from serve.engine.load_engine import load_engine
from serve.rows.row import Row, RowOutput, row_of
from shared.catalog import Model
from tests import checkpoints, checkpoints_xlm, judge, judge_xlm
from tests.judge import Verdict
from tests.layouts import LAYOUTS, ROUNDED, declare_vectors

LENGTHS = (7, 1, 33, 2, 12, 20, 5, 64)
PREFIXES: Mapping[str, str] = {
    "xlm-roberta": "XLMRoberta", "xlm-roberta-xl": "XLMRobertaXL", "bert": "Bert", "xlm": "XLM"
}  # fmt: skip
LABELS = ("book", "cancel", "other")
VECTORS = (("cls", True), ("max", False))  # pooling, and whether vectors have length 1
LINEAR = {"xlm-roberta": "mean", "xlm-roberta-xl": "max", "bert": "cls", "xlm": "mean"}  # the pooling that it reads
SPARSE_FAMILIES = ("xlm-roberta", "xlm-roberta-xl")
Write = Callable[[Path], None]


@dataclass(frozen=True)
class Case:
    """One head of one class. `before` and `after` write further files before and after the layout is made."""

    what: str
    kind: str
    compare: judge.Compare
    rows: Callable[[Model], Sequence[Row]]
    model: Callable[[Path], Model] = checkpoints.catalog_model
    before: Write = lambda folder: None  # noqa: ARG005 - most heads have no further files
    after: Write = lambda folder: None  # noqa: ARG005 - most heads have no further files


@dataclass(frozen=True)
class Found:
    """The verdict on one head in one layout, or the error instead of an answer."""

    case: str
    layout: str
    dtype: str
    verdict: Verdict | None
    error: str = ""

    @property
    def badness(self) -> tuple[bool, float]:
        """How near it is to its bound; an error and a dull reference are worse than any distance."""
        return (self.verdict is None or not self.verdict.ok, self.verdict.times_bound if self.verdict else 0.0)


def lines() -> Iterator[Line]:
    """Judge every head in every layout and dtype: a line for each head, then one for each layout."""
    found: list[Found] = []
    for case in all_cases():
        with tempfile.TemporaryDirectory() as folder:
            own = list(_trials(case, Path(folder)))
        found += own
        yield from _worst(own, lambda one: one.case, "layout")
    yield from _worst(found, lambda one: f"layout {one.layout}", "case")


def all_cases() -> Iterator[Case]:
    """Yield every class of every family, and what folders add to its vectors."""
    for kind in judge.CASES:
        yield _class_case(kind)
    for kind in judge_xlm.CASES:
        asked = judge_xlm.CASES[kind]
        yield Case(kind, kind, asked.compare, partial(_rows_xlm, kind))
    for family, prefix in PREFIXES.items():
        kind = f"{prefix}Model"
        yield _linear_case(family, kind)
        yield from (_vectors_case(family, kind, *declared) for declared in VECTORS)
        if family in SPARSE_FAMILIES:
            yield _sparse_case(family, kind)


def _class_case(kind: str) -> Case:
    own = judge.CASES[kind]
    return Case(
        kind, kind, own.compare, lambda model: own.rows(checkpoints.draw_ids(LENGTHS, vocab_size=model.vocab_size)),
        model=partial(judge.judged_model, kind),
    )  # fmt: skip


def _rows_xlm(kind: str, model: Model) -> Sequence[Row]:  # noqa: ARG001 - all rows are made alike
    return judge_xlm.rows_for(kind, langs=False, lengths=LENGTHS)


def _linear_case(family: str, kind: str) -> Case:
    """Return a classifier of one linear layer, as heads.json names it."""
    pooling = LINEAR[family]
    weight, bias = _drawn(len(LABELS), checkpoints.SMALL["hidden_size"]), _drawn(len(LABELS))
    said = {"intent": {"task": "text-classification", "labels": LABELS, "pooling": pooling}}

    def compare(reference: Any, row: Row, output: RowOutput) -> judge.Pairs:
        weights = (_rounded(weight, reference.rounding), _rounded(bias, reference.rounding))
        return [(output["logits"][0], F.linear(_pooled(_states(reference, row), pooling), *weights))]

    def add_tensors(folder: Path) -> None:
        tensors = load_file(folder / SINGLE)
        save_file(tensors | {"heads.intent.weight": weight, "heads.intent.bias": bias}, folder / SINGLE)

    return Case(
        f"{family}, linear on {pooling}", kind, compare, lambda _: _plain_rows("intent"), before=add_tensors,
        after=lambda folder: _write_json(folder / "heads.json", said),
    )  # fmt: skip


def _sparse_case(family: str, kind: str) -> Case:
    """Return the head for sparse vectors, whose tensors have a file of their own."""
    weight, bias = 3 * _drawn(1, checkpoints.SMALL["hidden_size"]), _drawn(1)  # so that few tokens weigh nothing

    def compare(reference: Any, row: Row, output: RowOutput) -> judge.Pairs:
        computed = reference.rounding[-1:]  # a layout leaves the file of the sparse head as it is
        weights = (_rounded(weight, computed), _rounded(bias, computed))
        return [(output["token_weights"], F.linear(_states(reference, row), *weights).relu()[:, 0])]

    return Case(
        f"{family}, sparse vectors", kind, compare, lambda _: _plain_rows("sparse"),
        before=lambda folder: save_file({"weight": weight, "bias": bias}, folder / SPARSE),
    )  # fmt: skip


def _vectors_case(family: str, kind: str, pooling: str, normalize: bool) -> Case:  # noqa: FBT001 - a row of VECTORS
    """Return vectors as a folder of sentence-transformers declares them; rows ask for what the head says."""

    def rows(model: Model) -> Sequence[Row]:
        head = model.heads["embed"]
        return _plain_rows("embed", pooling=head.pooling, normalize=head.normalize)

    def compare(reference: Any, row: Row, output: RowOutput) -> judge.Pairs:
        vector = _pooled(_states(reference, row), pooling)
        scale = vector.norm() if normalize else torch.tensor(1.0)  # unit vectors are compared at the scale of states
        return [(output["vectors"][0] * scale, vector)]

    return Case(
        f"{family}, declares {pooling}{', length 1' if normalize else ''}", kind, compare, rows,
        after=lambda folder: declare_vectors(folder, pooling, normalize=normalize),
    )  # fmt: skip


def _trials(case: Case, folder: Path) -> Iterator[Found]:
    """Yield the verdict on a head in every layout and dtype. The checkpoint is written once and copied."""
    draws = checkpoints_xlm if case.kind in judge_xlm.CASES else checkpoints
    drawn = draws.draw(case.kind)
    case.before(checkpoints.write(drawn, folder / "plain"))
    references: dict[tuple[str, str], Any] = {}
    for layout, change in LAYOUTS.items():
        place = folder / layout
        shutil.copytree(folder / "plain", place)
        change(place)
        case.after(place)
        for dtype in judge.DTYPES:
            stored = ROUNDED.get(layout, torch.float32)
            key = (str(stored), dtype)
            if key not in references:
                copied = checkpoints.rounded(copy.deepcopy(drawn), stored)
                references[key] = checkpoints.rounded(copied, getattr(torch, dtype))
                references[key].rounding = (stored, getattr(torch, dtype))
            yield _trial(case, layout, dtype, place, references[key])
        shutil.rmtree(place)


def _trial(case: Case, layout: str, dtype: str, place: Path, reference: Any) -> Found:
    try:
        model = case.model(place).model_copy(update={"dtype": dtype})
        rows = case.rows(model)
        results = load_engine(model, place, device="cpu").forward(rows)
        verdict = judge.verdict_on(case.compare, reference, rows, results, getattr(torch, dtype))
    except Exception as error:  # noqa: BLE001 - the table goes on, and the run fails at its end
        return Found(case.what, layout, dtype, None, f"{type(error).__name__}: {error}".replace("\n", " "))
    return Found(case.what, layout, dtype, verdict)


def _worst(found: Sequence[Found], what_of: Callable[[Found], str], named: str) -> Iterator[Line]:
    """Yield one line for each name and dtype, with the verdict nearest to its bound. `named` is what the note says."""
    groups: dict[tuple[str, str], list[Found]] = defaultdict(list)
    for one in found:
        groups[what_of(one), one.dtype].append(one)
    for (what, dtype), own in groups.items():
        worst = max(own, key=lambda one: one.badness)
        note = f"worst of {len(own)}: {getattr(worst, named)}"
        if worst.verdict is None:
            yield Line(what, dtype, None, None, ok=False, note=f"{note}: {worst.error}")
            continue
        if worst.verdict.spread < judge.MIN_STD:
            note += f"; outputs of the reference have std {worst.verdict.spread:.2f} only"
        yield Line(what, dtype, worst.verdict.distance, worst.verdict.bound, worst.verdict.ok, note)


def _states(reference: Any, row: Row) -> torch.Tensor:
    """Return the states [tokens, width] of the reference."""
    return torch.as_tensor(reference(**judge.reference_inputs(row)).last_hidden_state[0])


def _pooled(states: torch.Tensor, pooling: str) -> torch.Tensor:
    return {"mean": states.mean(0), "cls": states[0], "max": states.amax(0)}[pooling]


def _plain_rows(head: str, **asked: Any) -> Sequence[Row]:
    return [row_of(ids, head, **asked) for ids in checkpoints.draw_ids(LENGTHS)]


def _drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(7)) * checkpoints.HEAD_STD


def _rounded(tensor: torch.Tensor, dtypes: Sequence[torch.dtype]) -> torch.Tensor:
    """Return a tensor of a head rounded to one dtype after the other, as the weights of the reference were."""
    for dtype in dtypes:
        tensor = tensor.to(dtype).float()
    return tensor


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")
