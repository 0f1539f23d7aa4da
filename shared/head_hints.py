"""Says what would give a model a head that it lacks, as a command, and which model's heads may stand in for another's.

Must not know the catalog or who asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

# Heads that `glossa head train` makes of labels.
TRAINED_HERE = ("text-classification", "token-classification", "zero-shot-classification", "rerank")
# Heads that are trained with their whole model, elsewhere: a class of transformers that has one.
CLASSES: Mapping[str, str] = {
    "question-answering": "XLMRobertaForQuestionAnswering",
    "multiple-choice": "XLMRobertaForMultipleChoice",
    "fill-mask": "XLMRobertaForMaskedLM",
    "text-generation": "XLMRobertaForCausalLM",
}
VECTORS = ("feature-extraction", "sentence-similarity")  # every checkpoint has them
ADD = "glossa catalog add"


def way_to_head(task: str, model: str, checkpoint: str) -> str:
    """Return what adds a head for `task` to `model`, whose folder is `checkpoint`, or serves one beside it."""
    if task in TRAINED_HERE:
        return f"add one: glossa head train --model {model} --task {task} --data FILE --name NAME"
    if task in VECTORS:
        return f"serve its vectors: {ADD} {checkpoint} --name NAME --head embed"
    of_class = f", of a class such as {CLASSES[task]}" if task in CLASSES else ""
    return f"add a checkpoint that has one{of_class}: {ADD} FOLDER --name NAME"


class _Head(Protocol):
    """What is compared of two heads."""

    @property
    def task(self) -> str:
        """The task whose tensors it answers with."""
        ...

    @property
    def tasks(self) -> tuple[str, ...]:
        """Every task that it can answer."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """Its labels, in logit order."""
        ...

    @property
    def problem_type(self) -> str:
        """How its scores belong together."""
        ...


class _Model(Protocol):
    """What is compared of two models."""

    @property
    def name(self) -> str:
        """Its name in the catalog."""
        ...

    @property
    def stand_in(self) -> str | None:
        """The model that may answer in its place."""
        ...

    @property
    def heads(self) -> Mapping[str, _Head]:
        """Its heads by name."""
        ...


def check_stand_in(model: _Model, models: Mapping[str, _Model]) -> None:
    """Refuse a stand-in that does not exist, or whose answers would mean something else. Raises ValueError."""
    if model.stand_in is None:
        return
    other = models.get(model.stand_in)
    if other is None or other.name == model.name:
        names = sorted(set(models) - {model.name})
        raise ValueError(f"model {model.name}: got stand_in {model.stand_in!r}, expected one of {names}")
    for name, head in model.heads.items():
        if head.task not in VECTORS and (name not in other.heads or _meaning(other.heads[name]) != _meaning(head)):
            found = f"got stand_in {other.name!r}, which has no head {name!r} of the same tasks and labels"
            raise ValueError(f"model {model.name}: {found}, expected a model whose answers mean the same")


def _meaning(head: _Head) -> tuple[frozenset[str], tuple[str, ...], str]:
    return frozenset(head.tasks), head.labels, head.problem_type
