"""Chooses the head that a data set is measured with, and matches its labels with those of the data.

Reads the catalog alone. Must not know files, metrics or who answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from functions.pipeline.route import choose_head
from functions.tasks.parse import parse_parameters
from glossa.evaluation.datasets.dataset import Dataset
from glossa.evaluation.examples import Labelled, LanguageData, Tagged
from glossa.evaluation.measures import MEASURES
from shared.catalog import Catalog, Head, Model, split_reference
from shared.errors import Unprocessable
from shared.head_hints import way_to_head

OUTSIDE = "O"
SHOWN_LABELS = 8


@dataclass(frozen=True, slots=True)
class Chosen:
    """A model and its head. `gold` has, for each label of the head, what the data calls it; the others keep theirs.

    `missing` are labels of the data that the head never gives: what they stand for counts as missed.
    """

    model: Model
    head: str
    gold: Mapping[str, str]
    missing: tuple[str, ...] = ()

    @property
    def reference(self) -> str:
        """The model and its head, as requests name them."""
        return f"{self.model.name}:{self.head}"


def choose(
    dataset: Dataset, data: Sequence[LanguageData], catalog: Catalog, reference: str | None, said: Mapping[str, str]
) -> Chosen:
    """Choose model and head. `said` has, for labels of the data, the names that the caller says the head has for them.

    Without a named head, a data set of labels takes the first head that has them all. Raises NotFound for an unknown
    model or head, and Unprocessable when no head can be measured; it says which head would be needed.
    """
    task = MEASURES[dataset.kind].task
    name, named = split_reference(reference) if reference is not None else (None, None)
    model = catalog.model(name or catalog.default_model)
    if task not in model.tasks:
        raise _no_head(model, task, "", dataset)
    _check_said(dataset, said)
    if dataset.kind == "labels":
        return _by_labels(dataset, dataset.labels or _labels(data), model, named, said)
    route = choose_head(task, parse_parameters(task, {}), f"{model.name}:{named}" if named else model.name, catalog)
    missing = _missing_kinds(data, model.heads[route.head], route.head) if dataset.kind == "entities" else ()
    return Chosen(model, route.head, {}, missing)


def _check_said(dataset: Dataset, said: Mapping[str, str]) -> None:
    """Raise Unprocessable for a --label that would do nothing. Data sets without a list of labels take any."""
    if dataset.kind == "labels" and not dataset.labels:
        return
    if unknown := sorted(set(said) - set(dataset.labels or ())):
        expected = f"one of {_shown(dataset.labels)}" if dataset.labels else f"none: {dataset.name} has no such labels"
        raise Unprocessable(f"got --label {unknown[0]}={said[unknown[0]]}, expected as GOLD {expected}")


def _by_labels(
    dataset: Dataset, wanted: Sequence[str], model: Model, named: str | None, said: Mapping[str, str]
) -> Chosen:
    task = MEASURES[dataset.kind].task
    able = [name for name, head in model.heads.items() if task == head.task]
    able.sort(key=lambda name: not model.heads[name].default)
    if named is not None:
        able = [model.head_for(task, named)]
    for name in able:
        gold = _names(wanted, model.heads[name].labels, dataset.aliases, said)
        if set(wanted) <= set(gold.values()):
            return Chosen(model, name, gold)
    if named is None:
        raise _no_head(model, task, f" with the labels {_shown(wanted)}", dataset)
    found = f"head {model.name}:{named} has labels {_shown(model.heads[named].labels)}"
    raise Unprocessable(f"{found}, expected {_shown(wanted)}", hint="say which is which: --label GOLD=LABEL")


def _names(
    wanted: Iterable[str], labels: Sequence[str], aliases: Mapping[str, tuple[str, ...]], said: Mapping[str, str]
) -> dict[str, str]:
    """Return the label of the data for each label of the head that has one. Case does not count."""
    known = {label.casefold(): label for label in labels}
    gold = {}
    for label in wanted:
        names = (said[label],) if label in said else (label, *aliases.get(label, ()))
        for name in names:
            if name.casefold() in known:
                gold[known[name.casefold()]] = label
                break
    return gold


def _labels(data: Sequence[LanguageData]) -> Sequence[str]:
    found = {each.label for of in data for each in of.examples if isinstance(each, Labelled)}
    return sorted(found)


def _missing_kinds(data: Sequence[LanguageData], head: Head, name: str) -> tuple[str, ...]:
    """Return the types of entities that the head has no tag for. Raises Unprocessable when it has a tag for none."""
    wanted = {tag[2:] for of in data for each in of.examples if isinstance(each, Tagged) for tag in each.tags}
    wanted -= {OUTSIDE[2:]}
    known = {label[2:] for label in head.labels}
    if wanted and not wanted & known:
        found = f"head {name} has labels {_shown(head.labels)}"
        raise Unprocessable(f"{found}, expected tags such as B-{min(wanted)} and I-{min(wanted)}")
    return tuple(sorted(wanted - known))


def _no_head(model: Model, task: str, labels: str, dataset: Dataset) -> Unprocessable:
    found = f"model {model.name} has no head for {task}{labels}, which {dataset.name} needs"
    hint = way_to_head(task, model.name, model.checkpoint)
    return Unprocessable(f"{found}; its heads: {', '.join(model.heads)}", hint=hint)


def _shown(labels: Sequence[str]) -> str:
    more = f", … ({len(labels)})" if len(labels) > SHOWN_LABELS else ""
    return ", ".join(labels[:SHOWN_LABELS]) + more
