"""Trains a head together with the last layers of its backbone: from a file of labels to a model of its own.

Must not know the command line, or how a model is served.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from functions.messages import Window
from glossa.head_training.fitting.calibration import calibration_error, temperature
from glossa.head_training.fitting.fit import Plan, Vectors, class_weights
from glossa.head_training.fitting.frozen import upper_layers
from glossa.head_training.fitting.unfreeze import (
    Item,
    Task,
    answers,
    check_layers,
    fold,
    open_network,
    save_network,
    train_network,
)
from glossa.head_training.fitting.vectors import targets_of
from glossa.head_training.folder import whole_folder
from glossa.head_training.judging.judge import Answered, Judgement, judge, judge_grades
from glossa.head_training.judging.report import TrainingFacts
from glossa.head_training.options import SIMILARITY, TOKENS, Checked, TrainOptions
from glossa.head_training.prepare import Prepared, prepare
from glossa.head_training.train import LOSSES, Progress, Result, files_of, windows_by_row
from glossa.tokenizer_build.checkpoints import folder_of, tokenizer_of


def train_model(options: TrainOptions, checked: Checked, root: Path, progress: Progress) -> Result:
    """Train a model of its own, and write its folder. `root` is the catalog's folder; the catalog is not changed.

    Raises ValueError for rows that cannot be read or are too few, and for more layers than the model has.
    """
    started_s = time.perf_counter()
    source = folder_of(checked.model.checkpoint, root)
    check_layers(source, checked.model, options.unfreeze)
    progress.stage(f"reading {options.data}")
    prepared = prepare(options, checked)
    tokenizer = tokenizer_of(checked.model, root)
    compares = options.task == SIMILARITY
    items = _pairs(prepared, checked, tokenizer) if compares else _items(prepared, checked, tokenizer)
    progress.stage(f"loading {checked.model.name}")
    head = None if compares else prepared.head
    network = open_network(source, checked.model, head, options.unfreeze, options.seed)
    network.to("cuda" if torch.cuda.is_available() else "cpu")
    whole = Task(LOSSES[prepared.target], compares=compares, per_token=options.task == TOKENS)
    windows = [each for own in items for item in own for each in (item.window, item.other) if each is not None]
    progress.stage(f"computing the frozen layers of {len(windows):,} texts")
    with upper_layers(network, windows, checked.model.pad_id) as states:
        task = replace(whole, states=states)
        train, inner = _parts(prepared, items, task, balance=options.balance)
        progress.stage(f"training the last {options.unfreeze} layers on {len(prepared.split.train):,} rows")
        chosen = train_network(network, train, inner, task, options.seed, progress.detail)
        progress.stage(f"judging it on {len(prepared.split.held_out):,} rows")
        degree, before = _calibrate(network, [item for at in prepared.split.held_out for item in items[at]], task)
        judgement = _judge(network, prepared, items, task, tokenizer)
    facts = TrainingFacts(
        checked.model.name, options.name, options.task, f"{options.unfreeze} layers", options.data.name,
        prepared.sha256, options.seed, len(prepared.split.train), len(prepared.split.held_out),
        len(prepared.head.labels), chosen, degree, before, time.perf_counter() - started_s, is_model=True,
    )  # fmt: skip
    progress.stage(f"writing {checked.out}")
    _write(network.cpu(), source, checked.out, files_of(facts, judgement, prepared.head))
    return Result(checked.out, prepared.head, facts, judgement, prepared.warnings)


def _items(prepared: Prepared, checked: Checked, tokenizer: Any) -> list[list[Item]]:
    """Return the windows of each row with what a head should say of them."""
    index = {label: at for at, label in enumerate(prepared.head.labels)}
    found: list[list[Item]] = []
    for row, windows in zip(prepared.rows, windows_by_row(prepared, checked, tokenizer), strict=True):
        total = max(1, sum(window.n_content_tokens for window in windows))
        own = []
        for window in windows:
            wanted, kept = targets_of(row, window, prepared.target, index)
            own.append(Item(window, _target(wanted, kept, prepared), window.n_content_tokens / total))
        found.append(own)
    return found


def _target(wanted: Tensor, kept: Tensor | None, prepared: Prepared) -> Any:
    """Return one index, a list of numbers, or for tokens an index each with -100 for special ones."""
    if kept is not None:
        whole = torch.full((len(kept),), -100)
        whole[kept] = wanted
        return whole.tolist()
    return int(wanted) if prepared.target == "label" else wanted[0].tolist()


def _pairs(prepared: Prepared, checked: Checked, tokenizer: Any) -> list[list[Item]]:
    """Return the first windows of both texts of each row, with its grade."""
    firsts = replace(prepared, rows=tuple(replace(row, text_pair=None) for row in prepared.rows))
    seconds = replace(
        prepared, rows=tuple(replace(row, text=row.text_pair or "", text_pair=None) for row in prepared.rows)
    )
    both = [windows_by_row(each, checked, tokenizer) for each in (firsts, seconds)]
    return [
        [Item(first[0], row.grade, other=second[0])] for row, first, second in zip(prepared.rows, *both, strict=True)
    ]


def _parts(
    prepared: Prepared, items: Sequence[Sequence[Item]], task: Task, *, balance: bool
) -> tuple[list[Item], list[Item]]:
    """Return what is trained on, where rare labels count more, and what chooses for how long."""
    inner = [item for at in prepared.split.train if at in prepared.inner for item in items[at]]
    train = [item for at in prepared.split.train if at not in prepared.inner for item in items[at]]
    if task.loss != "one" or task.per_token or not balance:
        return train, inner
    targets = torch.tensor([item.target for item in train])
    vectors = Vectors(torch.zeros(len(train), 1), targets, torch.tensor([item.weight for item in train]))
    weights = class_weights(vectors, Plan(len(prepared.head.labels), "one", has_dense=False, seed=0)).tolist()
    return [replace(item, weight=item.weight * weights[item.target]) for item in train], inner


def _calibrate(network: Any, held: Sequence[Item], task: Task) -> tuple[float | None, float | None]:
    """Fold a temperature into a network with labels of texts; return it, and the calibration error before."""
    if task.compares or task.per_token:
        return None, None
    logits = torch.tensor([each[0] for each in answers(network, held, task)])
    targets = torch.tensor([item.target for item in held])
    degree = temperature(logits, targets, torch.tensor([item.weight for item in held]), task.loss)
    fold(network, degree or 1.0)
    if task.loss != "one":
        return degree, None
    scores, guesses = logits.softmax(-1).max(-1)
    return degree, calibration_error(scores.tolist(), (guesses == targets).tolist())


def _judge(network: Any, prepared: Prepared, items: Sequence[Sequence[Item]], task: Task, tokenizer: Any) -> Judgement:
    held = prepared.split.held_out
    rows = [prepared.rows[at] for at in held]
    found = iter(answers(network, [item for at in held for item in items[at]], task))
    logits = [[next(found) for _ in items[at]] for at in held]
    if task.compares:
        return judge_grades(rows, [own[0][0][0] for own in logits])
    windows: list[list[Window]] = [[item.window for item in items[at]] for at in held]
    return judge(Answered(rows, windows, logits), prepared.head, prepared.target, tokenizer)


def _write(network: Any, source: Path, out: Path, files: dict[str, str]) -> None:
    """Write the folder of a model, in place of one that is there. Nobody sees half a folder."""
    with whole_folder(out) as made:
        save_network(network, source, made)
        for name, text in files.items():
            (made / name).write_text(text, encoding="utf-8")
