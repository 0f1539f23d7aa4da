"""Reads what a checkpoint says about its heads: the labels of its classifier, and the heads in its heads.json.

All families share it. It must not know tensors beyond their shapes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import ValidationError

from serve.checkpoints.files import HEADS, CheckpointError, read_json
from shared.catalog import Head
from shared.error_text import expected, got, shown

Shapes = Mapping[str, tuple[int, ...]]
ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]
MAX_NAMED_IDS = 8
MAX_NAME_CHARS = 64  # of a head
ELSEWHERE = ("checkpoint", "weights_sha256")  # what a catalog alone may say of a head: where else its tensors are
ACTIVATION_KEYS = ("activation_fn", "sbert_ce_default_activation_function")  # the latter in older checkpoints
ENTAILMENT = "entail"  # how the label begins that zero-shot classification reads, as in its `transformers` pipeline


def classifier(
    task: Literal["text-classification", "token-classification"],
    config: Any,
    n_labels: int,
    *,
    prefix: str = "classifier",
) -> Head:
    """Return the head of a plain checkpoint. Raises CheckpointError when labels and tensors do not match.

    A head with one output and no problem type uses a sigmoid, as in the `transformers` pipeline, unless the checkpoint
    declares an activation, as a CrossEncoder of sentence-transformers does.
    """
    names = {int(index): name for index, name in (config.id2label or {}).items()}
    if sorted(names) != list(range(n_labels)):
        raise _other_labels(names, n_labels)
    if config.problem_type not in [None, *get_args(ProblemType)]:
        raise CheckpointError(
            f"config.json has problem_type {config.problem_type!r}, expected one of {list(get_args(ProblemType))}"
        )
    usual: ProblemType = "multi_label_classification" if n_labels == 1 else "single_label_classification"
    facts = {
        "task": task,
        "prefix": prefix,
        "labels": tuple(str(names[index]) for index in range(n_labels)),
        "problem_type": config.problem_type or usual,
        "activation": _activation(config, n_labels) if task == "text-classification" else "",
    }
    return with_other_tasks(read_head(facts))


def _other_labels(names: Mapping[int, str], n_labels: int) -> CheckpointError:
    """Return the error for labels that are not those of the classifier's outputs."""
    if sorted(names) != list(range(len(names))):
        said = f"the ids {', '.join(map(str, sorted(names)[:MAX_NAMED_IDS]))}"
        return CheckpointError(f"config.json has {said} in id2label, expected 0 to {n_labels - 1}")
    return CheckpointError(
        f"config.json names {len(names)} labels in id2label, the classifier has {n_labels}",
        hint='name all of them: "id2label": {"0": "first", ...}, in the order of the outputs',
    )


def _activation(config: Any, n_labels: int) -> str:
    """Return the activation that config.json declares under any of its names, or "" where it declares none."""
    saved = getattr(config, "sentence_transformers", None)
    named = [saved.get("activation_fn") if isinstance(saved, Mapping) else None]
    named += [getattr(config, name, None) for name in ACTIVATION_KEYS]
    said = next((name for name in named if name is not None), None)
    if said is None:
        return ""
    kind = str(said).rpartition(".")[2].removesuffix("()").lower()
    known = ["Identity", "Sigmoid", *(["Softmax"] if n_labels > 1 else [])]
    if kind not in {name.lower() for name in known}:
        raise CheckpointError(f"config.json has activation_fn {said!r}, expected one of {', '.join(known)}")
    return kind


def with_other_tasks(head: Head) -> Head:
    """Return a head with the other tasks that its tensors can answer, unless it names such tasks itself."""
    also: tuple[str, ...] = ()
    if head.task == "text-classification":
        able = len(head.labels) > 1 and any(label.lower().startswith(ENTAILMENT) for label in head.labels)
        also = ("zero-shot-classification",) if able else ()
        also += ("rerank",) if len(head.labels) == 1 else ()
    if head.task == "feature-extraction":
        also = ("sentence-similarity", "rerank") if not head.variant else ()
    return head if head.also else head.model_copy(update={"also": also})


def listed_heads(folder: Path, shapes: Shapes) -> dict[str, Head]:
    """Return the heads of heads.json by name, or none when there is no such file.

    An entry has a task, labels and, if they are unusual, a prefix and a problem_type. A classifier of one linear layer
    is read by its tensors; it may name the `pooling` of the vector that it reads, else the mean. Raises CheckpointError
    for an entry that is malformed.
    """
    if not (folder / HEADS).is_file():
        return {}
    named: dict[str, Head] = {}
    for name, facts in read_json(folder / HEADS).items():
        if not isinstance(facts, Mapping):
            raise CheckpointError(
                f"heads.json has {name}: {type(facts).__name__}, expected an object with task and labels"
            )
        if not name or len(name) > MAX_NAME_CHARS or not name.isprintable():
            raise CheckpointError(
                f"heads.json has head {shown(name)}, expected a name of 1 to {MAX_NAME_CHARS} characters"
            )
        if elsewhere := [key for key in ELSEWHERE if key in facts]:
            raise CheckpointError(f"heads.json has {elsewhere[0]} for {name}, expected tensors of the folder itself")
        head = described_head({"prefix": f"heads.{name}", **facts}, shapes)
        if head.task in {"text-classification", "token-classification"} and not head.labels:
            raise CheckpointError(f"heads.json has {name} without labels, expected one for each of its outputs")
        named[name] = head
    return named


def described_head(facts: Mapping[str, Any], shapes: Shapes) -> Head:
    """Return the head that an entry of heads.json describes. Raises CheckpointError for an entry that is malformed."""
    return with_other_tasks(read_head({**facts, **_linear(facts, shapes)}))


def _linear(said: Mapping[str, Any], shapes: Shapes) -> dict[str, str]:
    """Return the variant and the prefix of a classifier whose only weight is that of one linear layer.

    A layer named `summary` is XLM's own head, which reads the first token.
    """
    if said.get("task") != "text-classification" or said.get("variant"):
        return {}
    weights = [name for name in shapes if name.startswith(f"{said['prefix']}.") and name.endswith(".weight")]
    if len(weights) != 1 or weights[0].endswith(".summary.weight") or len(shapes[weights[0]]) != 2:  # noqa: PLR2004 - the dimensions of a matrix
        return {}
    return {"variant": "linear", "prefix": weights[0].removesuffix(".weight")}


def read_head(facts: Mapping[str, object]) -> Head:
    """Return a head of the catalog. Raises CheckpointError that names what is wrong in it."""
    try:
        return Head.model_validate(facts)
    except ValidationError as error:
        faults = [(".".join(map(str, fault["loc"])), fault) for fault in error.errors()]
        problems = "; ".join(f"{place}: got {got(fault)}, expected {expected(fault)}" for place, fault in faults)
        raise CheckpointError(f"a head of the checkpoint cannot be read: {problems}") from None


EMBED = with_other_tasks(Head(task="feature-extraction"))  # the head that every backbone has
SPARSE = "sparse_linear"  # the prefix of bge-m3's head for sparse vectors, which has a file of its own


def vector_heads(shapes: Shapes) -> dict[str, Head]:
    """Return `embed`, which every backbone has, and `sparse` if the checkpoint holds its tensors."""
    sparse = Head(task="feature-extraction", variant="sparse", prefix=SPARSE)
    return {"embed": EMBED} | ({"sparse": sparse} if f"{SPARSE}.weight" in shapes else {})
