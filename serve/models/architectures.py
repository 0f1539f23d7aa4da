"""Compares the class that config.json names with the heads that the tensors make.

A class with a head whose tensors are missing would have random weights in `transformers`. It must not know the heads of
a family beyond their tasks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch

from serve.checkpoints.read import CheckpointError
from serve.models.tensor_names import named
from shared.catalog import Head

TASKS: Mapping[str, tuple[str, ...]] = {
    "ForSequenceClassification": ("text-classification",),
    "ForTokenClassification": ("token-classification",),
    "ForQuestionAnswering": ("question-answering",),
    "ForQuestionAnsweringSimple": ("question-answering",),
    "ForMultipleChoice": ("multiple-choice",),
    "ForMaskedLM": ("fill-mask", "text-generation"),
    "ForCausalLM": ("fill-mask", "text-generation"),
    "LMHeadModel": ("fill-mask", "text-generation"),
    "WithLMHeadModel": ("fill-mask", "text-generation"),
    "ForPreTraining": ("fill-mask",),  # of BERT: a prediction of masks, and of the next sentence, which is not served
    "Model": (),
}  # what a class of transformers is called, after the name of its body -> the tasks of its head
CLASS = re.compile(rf"(?:XLMRobertaXL|XLMRoberta|XLM|Roberta|Bert)({'|'.join(TASKS)})")
LM = ("fill-mask", "text-generation")


def check_classes(config: Any, found: Mapping[str, Head], shapes: Mapping[str, object], *, is_embedder: bool) -> None:
    """Raise CheckpointError when config.json names a class that is not served, or one whose head is missing.

    `is_embedder` says that the folder declares itself an embedder: it then needs no head for a vocabulary.
    """
    for kind in map(str, config.architectures or ()):
        body = type(config).__name__.removesuffix("Config")
        as_embedder = f'to serve it as an embedder, set "architectures" to ["{body}Model"] in config.json'
        match = CLASS.fullmatch(kind)
        if match is None:
            served = ", ".join(f"{body}{suffix}" for suffix in TASKS if _class(body + suffix) is not None)
            raise CheckpointError(f"config.json says class {kind}, expected one of {served}", hint=as_embedder)
        tasks = TASKS[match[1]]
        if not tasks or any(head.task in tasks for head in found.values()) or (is_embedder and tasks[0] in LM):
            continue
        missing = [name for name in _head_tensors(body + match[1], config) if name not in shapes]
        what = f"lacks {named(missing)}" if missing else f"has no head for {tasks[0]}"
        raise CheckpointError(
            f"config.json says {kind}, but the checkpoint {what}",
            hint=f"save the model again with its head; {as_embedder}",
        )


def _class(kind: str) -> Any:
    """Return a public class of transformers, or None."""
    import transformers  # noqa: PLC0415 - its classes of models are slow to import, and only errors need them

    return getattr(transformers, kind, None)


def _head_tensors(kind: str, config: Any) -> list[str]:
    """Return the names of the head's tensors in a class of transformers. The model is made without memory."""
    model_class = _class(kind)
    if model_class is None:
        return []
    with torch.device("meta"):
        model = model_class(config)
    return [name for name, _ in model.named_parameters() if not name.startswith(f"{model.base_model_prefix}.")]
