"""The heads of BERT bodies: finding them in a checkpoint, their tensors, and making them.

Classifiers and choices read the pooler of the backbone, and the masked LM has names of its own. All other heads are
those of XLM-RoBERTa. This module must not know layers, tokenizers or devices.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from serve.checkpoints.read import CheckpointError
from serve.layers import heads
from serve.layers.norms import norm_of
from serve.layers.parts import ModelParts
from serve.models import roberta_heads
from serve.models.checkpoint_heads import Shapes, classifier, listed_heads, vector_heads
from serve.models.named_tensors import linear_shapes, norm_shapes
from serve.models.roberta_heads import is_named
from shared.catalog import Head

PREFIX = "bert."  # of backbone tensors in checkpoints that have a head
PREDICTIONS = "cls.predictions"
UNSERVED = "ForNextSentencePrediction"  # its head answers no task


def find_heads(folder: Path, config: Any, shapes: Shapes) -> dict[str, Head]:
    """Return the heads of a checkpoint, from its tensors, its architectures and its heads.json.

    Names are those of XLM-RoBERTa: `classifier`, `qa`, `choice`, `mlm` or, for a decoder, `lm`. Every backbone has
    `embed`. A classifier whose class is not named reads tokens if the backbone has no pooler. Raises CheckpointError
    for a head that answers no task.
    """
    if is_named(config, UNSERVED):
        raise CheckpointError(
            f"config.json has architectures {config.architectures}, expected a class that answers a task",
            hint="to serve its vectors: BertModel.from_pretrained(folder).save_pretrained(new_folder)",
        )
    found: dict[str, Head] = {}
    if "classifier.weight" in shapes:
        if is_named(config, "ForMultipleChoice"):
            found["choice"] = Head(task="multiple-choice", prefix="classifier")
        else:
            reads_tokens = is_named(config, "ForTokenClassification") or f"{_pooler(shapes)}.weight" not in shapes
            found["classifier"] = classifier(
                "token-classification" if reads_tokens else "text-classification",
                config,
                shapes["classifier.weight"][0],
            )
    if "qa_outputs.weight" in shapes:
        found["qa"] = Head(task="question-answering", prefix="qa_outputs")
    found |= listed_heads(folder, shapes)
    if f"{PREDICTIONS}.transform.dense.weight" in shapes:
        generates = config.is_decoder and not is_named(config, "ForMaskedLM")
        name, answers = ("lm", "text-generation") if generates else ("mlm", "fill-mask")
        found[name] = Head.model_validate({"task": answers, "prefix": PREDICTIONS})
    return found | vector_heads(shapes)


def head_shapes(head: Head, found: Shapes, config: Any) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor that a head reads, by its name in the checkpoint.

    The number of labels comes from the catalog, or from the checkpoint if the catalog names none.
    """
    prefix, width = head.prefix, config.hidden_size
    if _reads_pooler(head):
        n_labels = len(head.labels) or found.get(f"{prefix}.weight", (1,))[0]
        n_scores = n_labels if head.task == "text-classification" else 1
        return linear_shapes(_pooler(found), width, width) | linear_shapes(prefix, n_scores, width)
    if head.task in {"fill-mask", "text-generation"}:
        shapes = linear_shapes(f"{prefix}.transform.dense", width, width)
        shapes |= norm_shapes(f"{prefix}.transform.LayerNorm", width)
        return shapes | roberta_heads.decoder_shapes(prefix, found, config)
    return roberta_heads.head_shapes(head, found, config)


def build_head(
    head: Head, tensors: Mapping[str, Tensor], words: nn.Module, config: Any, parts: ModelParts
) -> heads.Head:
    """Make a head from checkpoint tensors. `words` is the word embedding, which the decoder may share."""
    prefix = head.prefix

    def linear(name: str) -> nn.Module:
        return parts.linear(name, tensors[f"{name}.weight"], tensors[f"{name}.bias"])

    if _reads_pooler(head):
        kind = heads.SequenceHead if head.task == "text-classification" else heads.ChoiceHead
        return kind(linear(_pooler(tensors)), linear(prefix))
    if head.task in {"fill-mask", "text-generation"}:
        norm_name = f"{prefix}.transform.LayerNorm"
        norm = norm_of(tensors[f"{norm_name}.weight"], tensors[f"{norm_name}.bias"], config.layer_norm_eps)
        transform = heads.Transform(linear(f"{prefix}.transform.dense"), norm)
        decoder = roberta_heads.make_decoder(prefix, tensors, words, parts)
        return (heads.MaskedLmHead if head.task == "fill-mask" else heads.NextTokenHead)(transform, decoder)
    return roberta_heads.build_head(head, tensors, words, config, parts)


def _reads_pooler(head: Head) -> bool:
    """Say whether a head is one linear layer on the pooler. A head of another variant is not."""
    return head.task in {"text-classification", "multiple-choice"} and not head.variant


def _pooler(found: Mapping[str, object]) -> str:
    """Return the name of the pooler, which is part of the backbone and may have its prefix."""
    return f"{PREFIX}pooler.dense" if f"{PREFIX}pooler.dense.weight" in found else "pooler.dense"
