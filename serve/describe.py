"""What a checkpoint folder is: its facts for the catalog, and whether we can serve it exactly.

Reads configuration and tensor headers, never weights (but for their digest). Must not know
engines or devices.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError
from transformers import XLMRobertaConfig

from serve import heads
from serve.families import xlm_roberta
from serve.weights import CheckpointError, read_json, tensor_shapes, weights_sha256
from shared.catalog import Family, Head

HEADS_OF_OTHERS = ("classifier.", "lm_head.", "qa_outputs.", "heads.")
PREFIX = "roberta."
SAID = 5  # tensors named in one error
ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]


@dataclass(frozen=True, slots=True)
class CheckpointFacts:
    """What `glossa catalog add` writes about a checkpoint.

    `max_tokens` counts special tokens. `mask_id`, `mask_token` are None where no tokenizer.json
    names one. `heads` by name: `classifier`, `mlm`, `embed` for plain checkpoints, the names of
    `heads.json` otherwise; `embed` is always there.
    """

    family: Family
    weights_sha256: str
    n_parameters: int
    max_tokens: int
    vocab_size: int
    pad_id: int
    mask_id: int | None
    mask_token: str | None
    heads: Mapping[str, Head]


def describe(folder: Path) -> CheckpointFacts:
    """Return the facts of a checkpoint folder. Raises CheckpointError where we could not serve it."""
    config = read_config(folder)
    shapes = tensor_shapes(folder)
    found = _find_heads(folder, config, shapes)
    check_tensors(shapes, config, found.values())
    mask_id, mask_token = _mask(folder)
    return CheckpointFacts(
        family="xlm-roberta",
        weights_sha256=weights_sha256(folder),
        n_parameters=sum(_size(shape) for shape in shapes.values()),
        max_tokens=xlm_roberta.max_tokens(config),
        vocab_size=config.vocab_size,
        pad_id=xlm_roberta.pad_id(config),
        mask_id=mask_id,
        mask_token=mask_token,
        heads=found,
    )


def read_config(folder: Path) -> XLMRobertaConfig:
    """Return the folder's configuration. Raises CheckpointError naming what we do not serve."""
    return xlm_roberta.check_config(read_json(folder / "config.json"))


def check_tensors(
    shapes: heads.Shapes, config: XLMRobertaConfig, wanted: Iterable[Head]
) -> tuple[dict[str, str], frozenset[str]]:
    """Return which tensors to read: backbone names (checkpoint name -> reference name) and head names.

    Raises CheckpointError naming the tensors that are missing, misshapen, or not of this family.
    Heads beside the wanted ones, the pooler and stored index buffers are passed over.
    """
    prefix = PREFIX if PREFIX + xlm_roberta.WORDS in shapes else ""
    backbone = {prefix + name: shape for name, shape in xlm_roberta.expected_shapes(config).items()}
    own: dict[str, tuple[int, ...]] = {}
    for head in wanted:
        own |= heads.expected_shapes(head, shapes, config)
    expected = backbone | own
    if missing := sorted(expected.keys() - shapes.keys()):
        raise CheckpointError(f"checkpoint lacks {_named(missing)}")
    if wrong := [name for name in sorted(expected) if shapes[name] != expected[name]]:
        raise CheckpointError(f"tensor {wrong[0]} has shape {shapes[wrong[0]]}, expected {expected[wrong[0]]}")
    unused = {prefix + name for name in xlm_roberta.UNUSED}
    strange = [name for name in shapes.keys() - expected.keys() - unused if not name.startswith(HEADS_OF_OTHERS)]
    if strange:
        raise CheckpointError(f"checkpoint holds {_named(sorted(strange))}, unknown to family {xlm_roberta.FAMILY}")
    return {name: name.removeprefix(prefix) for name in backbone}, frozenset(own)


def _find_heads(folder: Path, config: XLMRobertaConfig, shapes: heads.Shapes) -> dict[str, Head]:
    found: dict[str, Head] = {}
    if "classifier.out_proj.weight" in shapes:
        found["classifier"] = _classifier("text-classification", config, shapes["classifier.out_proj.weight"][0])
    elif "classifier.weight" in shapes and config.architectures != ["XLMRobertaForMultipleChoice"]:
        found["classifier"] = _classifier("token-classification", config, shapes["classifier.weight"][0])
    if (folder / "heads.json").is_file():
        found |= _listed_heads(read_json(folder / "heads.json"))
    if "lm_head.dense.weight" in shapes:
        found["mlm"] = Head(task="fill-mask", prefix="lm_head")
    return found | {"embed": Head(task="feature-extraction")}


def _classifier(
    task: Literal["text-classification", "token-classification"], config: XLMRobertaConfig, n_labels: int
) -> Head:
    """Return a plain checkpoint's head; one output of no stated problem type is a sigmoid, as in its pipeline."""
    names = {int(index): name for index, name in (config.id2label or {}).items()}
    if sorted(names) != list(range(n_labels)):
        raise CheckpointError(f"config.json names {len(names)} labels in id2label, the classifier has {n_labels}")
    usual: ProblemType = "multi_label_classification" if n_labels == 1 else "single_label_classification"
    labels = tuple(str(names[index]) for index in range(n_labels))
    return _head({
        "task": task, "prefix": "classifier", "labels": labels, "problem_type": config.problem_type or usual
    })  # fmt: skip


def _listed_heads(listed: Mapping[str, object]) -> dict[str, Head]:
    """Read heads.json: name -> task, labels and, where they differ from the usual, prefix and problem_type."""
    named: dict[str, Head] = {}
    for name, facts in listed.items():
        if not isinstance(facts, Mapping):
            raise CheckpointError(
                f"heads.json has {name}: {type(facts).__name__}, expected an object with task and labels"
            )
        named[name] = _head({"prefix": f"heads.{name}", **facts})
    return named


def _head(facts: Mapping[str, object]) -> Head:
    try:
        return Head.model_validate(facts)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise CheckpointError(f"a head of the checkpoint cannot be read: {faults}") from None


def _mask(folder: Path) -> tuple[int | None, str | None]:
    """Return id and text of the mask token, from the added tokens of tokenizer.json."""
    if not (folder / "tokenizer.json").is_file():
        return None, None
    added = read_json(folder / "tokenizer.json").get("added_tokens")
    for token in added if isinstance(added, list) else ():
        if token.get("content") == "<mask>":
            return int(token["id"]), "<mask>"
    return None, None


def _named(names: list[str]) -> str:
    more = f" and {len(names) - SAID} more" if len(names) > SAID else ""
    return f"{len(names)} tensors: {', '.join(names[:SAID])}{more}"


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for n in shape:
        size *= n
    return size
