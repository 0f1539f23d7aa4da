"""What the caller of `glossa head train` chooses, checked before anything is read or computed.

Must not know tensors.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from glossa.head_training.data.read import TASKS
from glossa.head_training.data.tables import check_name
from shared.catalog import MODEL_NAME, Catalog, Model

KindName = Literal["family", "linear"]
FAMILY_HEADS = ("xlm-roberta", "xlm-roberta-xl")  # whose own classifier is dense, tanh and projection of `<s>`
MAX_SHARE = 0.5
MAX_SEED = 2**31  # the rows that choose are drawn with the next one
REPORT = "training.json"  # the figures in a folder that this command wrote
TOKENS, SIMILARITY = "token-classification", "sentence-similarity"


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """A head to train: over which model, for which task, from which file, and under which name.

    `kind` None tries all kinds of head, and takes the best. `columns` are our names of columns with those of the file.
    `share` of the rows is held out, unless `held_out` names a file of its own. With `unfreeze` the last layers are
    trained too, and `name` is that of the new model. `out` is the folder to write; None: beside the catalog.
    """

    model: str
    task: str
    data: Path
    name: str
    kind: KindName | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    held_out: Path | None = None
    share: float = 0.2
    seed: int = 0
    balance: bool = True
    unfreeze: int = 0
    out: Path | None = None
    replace: bool = False
    default: bool = False


@dataclass(frozen=True, slots=True)
class Checked:
    """Options that can be done: the model that they name, the kinds of head to try, and the folder to write."""

    model: Model
    kinds: tuple[KindName, ...]
    out: Path


def check_options(options: TrainOptions, catalog: Catalog, root: Path) -> Checked:
    """Return what the options mean. `root` is the catalog's folder. Raises ValueError or NotFound for what is wrong."""
    if not re.fullmatch(MODEL_NAME, options.name):
        raise ValueError(
            f"got --name {options.name!r}, expected 1 to 63 of a-z 0-9 . _ -, the first a letter or a digit"
        )
    if options.task not in TASKS:
        raise ValueError(f"got --task {options.task!r}, expected one of {', '.join(TASKS)}")
    model = catalog.model(options.model)
    for path in (options.data, options.held_out):
        if path is not None:
            check_name(path)
    if not 0 < options.share <= MAX_SHARE:
        raise ValueError(f"got --share {options.share:g}, expected more than 0 and at most {MAX_SHARE:g}")
    if not 0 <= options.seed <= MAX_SEED:
        raise ValueError(f"got --seed {options.seed}, expected 0 to {MAX_SEED}")
    _check_unfreeze(options, model)
    kinds = _kinds(options, model)
    _check_name(options, catalog, model)
    folder = options.name if options.unfreeze else f"{model.name}-{options.name}"
    out = options.out or root / "checkpoints" / folder
    _check_folder(options, catalog, root, out)
    return Checked(model, kinds, out)


def _check_unfreeze(options: TrainOptions, model: Model) -> None:
    if options.unfreeze < 0:
        raise ValueError(f"got --unfreeze {options.unfreeze}, expected a number of layers")
    if options.task == SIMILARITY and not options.unfreeze:
        raise ValueError(
            f"got --task {SIMILARITY} alone, expected --unfreeze N beside it: similarities compare vectors of the "
            "backbone, so layers must be trained; or --task rerank, which trains a head on pairs"
        )
    if options.unfreeze and model.family == "xlm":
        raise ValueError(f"got --unfreeze with {model.name} of family xlm, expected 0; train a head on it as it is")
    if options.unfreeze and options.kind == "linear":
        raise ValueError("got --unfreeze and --kind linear, expected the family's own head, which is trained with it")


def _kinds(options: TrainOptions, model: Model) -> tuple[KindName, ...]:
    """Return the kinds of head to try. For tokens there is one kind, as for layers that are trained too."""
    if options.task == TOKENS:
        if options.kind == "linear":
            raise ValueError(f"got --kind linear, expected none: a head of {TOKENS} is one linear layer on each token")
        return ("family",)
    has_own = model.family in FAMILY_HEADS or options.unfreeze > 0
    if options.kind == "family" and not has_own:
        raise ValueError(
            f"got --kind family, expected linear: model {model.name} is of family {model.family}, whose own classifier "
            "is a part of its backbone"
        )
    if options.kind:
        return (options.kind,)
    return ("family",) if options.unfreeze else ("linear", "family") if has_own else ("linear",)


def _check_name(options: TrainOptions, catalog: Catalog, model: Model) -> None:
    """Raise ValueError when the name is taken, unless it may be replaced."""
    if options.unfreeze:
        if options.name in catalog.models:
            raise ValueError(f"got --name {options.name!r}, expected a new one: the catalog has a model of this name")
        return
    taken = model.heads.get(options.name)
    if taken is None:
        return
    if not taken.checkpoint:
        raise ValueError(
            f"got --name {options.name!r}, expected another one: {model.name} has this head in its own checkpoint"
        )
    if not options.replace:
        raise ValueError(f"got --name {options.name!r}, which {model.name} has; expected a new name, or --replace")


def _check_folder(options: TrainOptions, catalog: Catalog, root: Path, out: Path) -> None:
    """Raise ValueError for a folder that must stay: without --replace any, with it those that are not of this head."""
    above = next(folder for folder in out.absolute().parents if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise ValueError(f"got {out} to write, expected a folder that can be made: {above} is read-only or a file")
    if not out.exists():
        return
    if not options.replace:
        raise ValueError(f"got {out}, which is there already; expected a new folder: give --replace, or another --out")
    if not (out / REPORT).is_file():
        raise ValueError(
            f"got --replace with {out}, expected a folder that glossa head train wrote; this one has no {REPORT}: "
            "give another --out"
        )
    for model in catalog.models.values():
        own = {f"{model.name}:{name}": head.checkpoint for name, head in model.heads.items() if head.checkpoint}
        for reference, folder in {model.name: model.checkpoint, **own}.items():
            is_this = not options.unfreeze and reference == f"{options.model}:{options.name}"
            if not is_this and (root / folder).resolve() == out.resolve():
                raise ValueError(
                    f"got --replace with {out}, expected a folder that nobody reads: it is that of {reference}; "
                    "give another --out"
                )
