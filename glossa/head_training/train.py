"""Trains one head over a frozen backbone: from a file of labels to a folder and a judgement of it.

Must not know the command line, or how a head is served.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from functions.messages import Window
from functions.tokenizers.tokenizer import Tokenizer
from glossa.head_training.data.examples import Target
from glossa.head_training.export import Trained, write_head
from glossa.head_training.features import Read, features, load_backbone
from glossa.head_training.fitting.calibration import calibration_error, temperature
from glossa.head_training.fitting.fit import Fitted, Loss, Plan, Vectors, fit
from glossa.head_training.fitting.networks import logits_of, tensor_names
from glossa.head_training.fitting.vectors import by_row, vectors_of
from glossa.head_training.judging.confusion_picture import confusion_svg
from glossa.head_training.judging.judge import Answered, Judgement, judge
from glossa.head_training.judging.report import TrainingFacts, as_json
from glossa.head_training.options import REPORT, TOKENS, Checked, KindName, TrainOptions
from glossa.head_training.prepare import Prepared, as_linear, prepare
from glossa.head_training.windows import windows_of
from glossa.tokenizer_build.checkpoints import folder_of, tokenizer_of
from shared.catalog import Head

PICTURE = "confusion.svg"
READS: dict[KindName, Read] = {"family": "cls", "linear": "mean"}
LOSSES: dict[Target, Loss] = {"label": "one", "spans": "one", "labels": "any", "grade": "grade"}


class Progress(Protocol):
    """Says what is done while it is done."""

    def stage(self, text: str) -> None:
        """Say what begins now."""

    def detail(self, text: str) -> None:
        """Say how far it is."""


@dataclass(frozen=True, slots=True)
class Result:
    """A trained head: its folder, its entry in the catalog, how it came about and what it is worth."""

    out: Path
    head: Head
    facts: TrainingFacts
    judgement: Judgement
    warnings: Sequence[str] = ()

    @property
    def reference(self) -> str:
        """How a request names it."""
        return self.facts.head if self.facts.is_model else f"{self.facts.model}:{self.facts.head}"


def train_head(options: TrainOptions, checked: Checked, root: Path, progress: Progress) -> Result:
    """Train a head, and write its folder. `root` is the catalog's folder; the catalog is not changed.

    Raises ValueError for rows that cannot be read or are too few, and CheckpointError for a model that does not load.
    """
    started_s = time.perf_counter()
    progress.stage(f"reading {options.data}")
    prepared = prepare(options, checked)
    tokenizer = tokenizer_of(checked.model, root)
    windows = windows_by_row(prepared, checked, tokenizer)
    progress.stage(f"loading {checked.model.name}")
    engine = load_backbone(checked.model, root)
    flat = [window for own in windows for window in own]
    progress.stage(f"computing what {checked.model.name} says of {len(flat):,} texts")
    reads = ("tokens",) if options.task == TOKENS else tuple(READS[kind] for kind in checked.kinds)
    found = features(engine, flat, reads, lambda n: progress.detail(f"{n:,} of {len(flat):,}"))
    progress.stage(f"training {options.name} on {len(prepared.split.train):,} rows")
    fitted = _best(options, checked, _Vectors(prepared, windows, found), progress)
    prepared = replace(prepared, head=as_linear(prepared.head, options.name)) if fitted.kind == "linear" else prepared
    held = prepared.split.held_out
    answered = Answered(
        [prepared.rows[at] for at in held],
        [windows[at] for at in held],
        [[each.tolist() for each in own] for own in _logits(fitted.layers, by_row(windows, fitted.vectors, held))],
    )
    judgement = judge(answered, prepared.head, prepared.target, tokenizer)
    facts = TrainingFacts(
        checked.model.name, options.name, options.task, fitted.kind, options.data.name, prepared.sha256, options.seed,
        len(prepared.split.train), len(held), len(prepared.head.labels), fitted.chosen,
        fitted.temperature, fitted.error_before, time.perf_counter() - started_s,
    )  # fmt: skip
    names = tensor_names(prepared.head.prefix, has_dense="dense.weight" in fitted.layers)
    trained = Trained(
        options.name, prepared.head, {names[name]: tensor for name, tensor in fitted.layers.items()},
        files_of(facts, judgement, prepared.head),
    )  # fmt: skip
    progress.stage(f"writing {checked.out}")
    digest = write_head(checked.out, folder_of(checked.model.checkpoint, root), checked.model, trained)
    head = prepared.head.model_copy(update={"weights_sha256": digest})
    return Result(checked.out, head, facts, judgement, prepared.warnings)


def windows_by_row(prepared: Prepared, checked: Checked, tokenizer: Tokenizer) -> list[list[Window]]:
    """Return the windows of each row. Raises ValueError that names rows which read as nothing."""
    made: list[list[Window]] = []
    for path in dict.fromkeys(prepared.paths):
        own = [row for row, of in zip(prepared.rows, prepared.paths, strict=True) if of == path]
        made += windows_of(path, own, checked.model, tokenizer, prepared.head.task)
    return made


def files_of(facts: TrainingFacts, judgement: Judgement, head: Head) -> dict[str, str]:
    """Return the files beside a head, by name: its figures, and the picture of its confusions."""
    report = json.dumps(as_json(facts, judgement), indent=1, ensure_ascii=False) + "\n"
    return {REPORT: report} | (
        {PICTURE: confusion_svg(head.labels, judgement.confusion)} if judgement.confusion else {}
    )


@dataclass(frozen=True, slots=True)
class _Vectors:
    """What the backbone says of the windows of each row, by what kinds of head read."""

    prepared: Prepared
    windows: list[list[Window]]
    found: Mapping[Read, list[Tensor]]

    def of(self, read: Read, rows: Sequence[int]) -> tuple[Vectors, Tensor]:
        """Return what is fitted of the given rows, and which of it belongs to rows that choose."""
        return vectors_of(self.prepared, self.windows, self.found[read], rows)


@dataclass(frozen=True, slots=True)
class _Best:
    """The head to keep: its kind, its layers, the vectors that they read, and how it was chosen."""

    kind: KindName
    layers: dict[str, Tensor]
    vectors: list[Tensor]
    chosen: str
    temperature: float | None
    error_before: float | None


def _best(options: TrainOptions, checked: Checked, data: _Vectors, progress: Progress) -> _Best:
    """Fit each kind of head, and keep the one with the least loss on the rows that choose; of equals the first."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    prepared = data.prepared
    plans: dict[KindName, Plan] = {}
    tried: dict[KindName, Fitted] = {}
    for kind in checked.kinds:
        plans[kind] = Plan(
            n_outputs=len(prepared.head.labels),
            loss=LOSSES[prepared.target],
            has_dense=kind == "family" and options.task != TOKENS,
            seed=options.seed,
            balance=options.balance and prepared.target != "spans",
        )
        train, is_inner = data.of(_read_by(options, kind), prepared.split.train)
        tried[kind] = fit(train.to(device), is_inner.to(device), plans[kind], progress.detail)
    kind = min(tried, key=lambda each: tried[each].inner_loss)
    losses = ", ".join(f"{name} {fitted.inner_loss:.3f}" for name, fitted in tried.items())
    compared = f" (loss of each kind on the rows that choose: {losses})" if len(tried) > 1 else ""
    held, _ = data.of(_read_by(options, kind), prepared.split.held_out)
    logits = logits_of(tried[kind].network.layers(1.0), held.inputs)
    degree = temperature(logits, held.targets, held.weights, plans[kind].loss)
    before = None
    if prepared.target == "label":
        scores, guesses = logits.softmax(-1).max(-1)
        before = calibration_error(scores.tolist(), (guesses == held.targets).tolist())
    layers = tried[kind].network.layers(degree or 1.0)
    vectors = data.found[_read_by(options, kind)]
    return _Best(kind, layers, vectors, tried[kind].chosen + compared, degree, before)


def _read_by(options: TrainOptions, kind: KindName) -> Read:
    return "tokens" if options.task == TOKENS else READS[kind]


def _logits(layers: dict[str, Tensor], by_row: Iterable[Sequence[Tensor]]) -> list[list[Tensor]]:
    return [[logits_of(layers, vectors) for vectors in own] for own in by_row]
