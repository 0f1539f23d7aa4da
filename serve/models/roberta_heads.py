"""The heads of XLM-RoBERTa, XLM-V and XLM-RoBERTa-XL: finding them in a checkpoint, their tensors, and making them.

All of these models share the head classes. This module must not know layers or devices.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from serve.layers import heads
from serve.layers.norms import norm_of
from serve.layers.parts import ModelParts
from serve.models.checkpoint_heads import Shapes, classifier, listed_heads, vector_heads
from serve.models.named_tensors import linear_shapes, norm_shapes
from shared.catalog import Head

PREFIX = "roberta."  # of backbone tensors in checkpoints that have a head
WORDS = "embeddings.word_embeddings.weight"  # the word embedding, without the prefix


def find_heads(folder: Path, config: Any, shapes: Shapes) -> dict[str, Head]:
    """Return the heads of a checkpoint, from its tensors, its architectures and its heads.json.

    Names are `classifier`, `qa`, `choice`, `mlm` or, for a decoder, `lm`; `sparse` of bge-m3. Every backbone has
    `embed`.
    """
    found: dict[str, Head] = {}
    if "classifier.out_proj.weight" in shapes:
        n_labels = shapes["classifier.out_proj.weight"][0]
        found["classifier"] = classifier("text-classification", config, n_labels)
    elif "classifier.weight" in shapes and is_named(config, "ForMultipleChoice"):
        found["choice"] = Head(task="multiple-choice", prefix="classifier")
    elif "classifier.weight" in shapes:
        found["classifier"] = classifier("token-classification", config, shapes["classifier.weight"][0])
    if "qa_outputs.weight" in shapes:
        found["qa"] = Head(task="question-answering", prefix="qa_outputs")
    found |= listed_heads(folder, shapes)
    if "lm_head.dense.weight" in shapes:
        generates = config.is_decoder and not is_named(config, "ForMaskedLM")
        name, task = ("lm", "text-generation") if generates else ("mlm", "fill-mask")
        found[name] = Head.model_validate({"task": task, "prefix": "lm_head"})
    return found | vector_heads(shapes)


def head_shapes(head: Head, found: Shapes, config: Any) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor that a head reads, by its name in the checkpoint.

    The number of labels comes from the catalog, or from the checkpoint if the catalog names none.
    """
    prefix, width = head.prefix, config.hidden_size
    if head.task == "text-classification" and head.variant != "linear":
        n_labels = len(head.labels) or found.get(f"{prefix}.out_proj.weight", (0,))[0]
        return linear_shapes(f"{prefix}.dense", width, width) | linear_shapes(f"{prefix}.out_proj", n_labels, width)
    if head.task in {"text-classification", "token-classification"}:
        return linear_shapes(prefix, len(head.labels) or found.get(f"{prefix}.weight", (0,))[0], width)
    if head.task == "question-answering":
        return linear_shapes(prefix, 2, width)
    if head.task == "multiple-choice":
        return linear_shapes(_pooler(found), width, width) | linear_shapes(prefix, 1, width)
    if head.task in {"fill-mask", "text-generation"}:
        norm = norm_shapes(f"{prefix}.layer_norm", width)
        return {**linear_shapes(f"{prefix}.dense", width, width), **norm, **decoder_shapes(prefix, found, config)}
    return linear_shapes(prefix, 1, width) if head.variant == "sparse" else {}


def build_head(
    head: Head, tensors: Mapping[str, Tensor], words: nn.Module, config: Any, parts: ModelParts
) -> heads.Head:
    """Make a head from checkpoint tensors. `words` is the word embedding, which the decoder may share."""
    prefix = head.prefix

    def linear(name: str) -> nn.Module:
        return parts.linear(name, tensors[f"{name}.weight"], tensors[f"{name}.bias"])

    if head.task == "text-classification":
        if head.variant == "linear":
            return heads.LinearHead(linear(prefix), head.pooling)
        return heads.SequenceHead(linear(f"{prefix}.dense"), linear(f"{prefix}.out_proj"))
    if head.task in {"token-classification", "question-answering"}:
        return (heads.TokenHead if head.task == "token-classification" else heads.SpanHead)(linear(prefix))
    if head.task == "multiple-choice":
        return heads.ChoiceHead(linear(_pooler(tensors)), linear(prefix))
    if head.task in {"fill-mask", "text-generation"}:
        norm = norm_of(
            tensors[f"{prefix}.layer_norm.weight"], tensors[f"{prefix}.layer_norm.bias"], config.layer_norm_eps
        )
        kind = heads.MaskedLmHead if head.task == "fill-mask" else heads.NextTokenHead
        return kind(heads.Transform(linear(f"{prefix}.dense"), norm), make_decoder(prefix, tensors, words, parts))
    return heads.SparseHead(linear(prefix)) if head.variant == "sparse" else heads.EmbedHead()


def make_decoder(prefix: str, tensors: Mapping[str, Tensor], words: nn.Module, parts: ModelParts) -> heads.Decoder:
    """Make the decoder over the vocabulary.

    It shares the word embedding when the checkpoint stores no weight for it, or stores the same weight again.
    """
    name = f"{prefix}.decoder"
    bias = tensors[f"{name}.bias" if f"{name}.bias" in tensors else f"{prefix}.bias"]
    stored = tensors.get(f"{name}.weight")
    if stored is None or torch.equal(stored, tensors[WORDS]):
        return parts.decoder(parts.tied(name, words, bias), bias.shape[0])
    return parts.decoder(parts.linear(name, stored, bias), bias.shape[0])


def decoder_shapes(prefix: str, found: Shapes, config: Any) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the decoder's tensors.

    Its weight is there when it is stored or not tied. Its bias has one of two names.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    if f"{prefix}.decoder.weight" in found or not config.tie_word_embeddings:
        shapes[f"{prefix}.decoder.weight"] = (config.vocab_size, config.hidden_size)
    bias = f"{prefix}.decoder.bias" if f"{prefix}.decoder.bias" in found else f"{prefix}.bias"
    return shapes | {bias: (config.vocab_size,)}


def _pooler(found: Mapping[str, object]) -> str:
    """Return the name of the pooler of multiple choice, which may or may not have the prefix of the backbone."""
    return f"{PREFIX}pooler.dense" if f"{PREFIX}pooler.dense.weight" in found else "pooler.dense"


def is_named(config: Any, suffix: str) -> bool:
    """Say whether a class that ends with `suffix` wrote the checkpoint."""
    return any(str(name).endswith(suffix) for name in config.architectures or ())
