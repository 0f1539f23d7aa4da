"""The heads of XLM checkpoints: finding them, their tensors, and making them.

It must not know the layers of the backbone or devices.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from serve.layers import heads
from serve.layers.parts import ModelParts
from serve.models.checkpoint_heads import Shapes, classifier, listed_heads, vector_heads
from serve.models.named_tensors import linear_shapes
from serve.models.xlm import beam_head, lm_head, sequence_summary
from shared.catalog import Head

OTHER_HEADS = (
    "classifier.",
    "heads.",
    "logits_proj.",
    "pred_layer.",
    "qa_outputs.",
    "sequence_summary.",
    "sparse_linear.",
)
SUMMARY = "sequence_summary"
WORDS = "embeddings.weight"


def find_heads(folder: Path, config: Any, shapes: Shapes) -> dict[str, Head]:
    """Return the heads of a checkpoint: `classifier`, `choice`, `qa`, those of its heads.json, `mlm`, `lm` and `embed`.

    A prediction layer makes two heads: `mlm` reads it at masks, and `lm` continues a text, whether the model is causal
    or not. A summary without a projection has no tensor; its classifier is recognized by `architectures`.
    """
    found: dict[str, Head] = {}
    if "logits_proj.weight" in shapes:
        found["choice"] = Head(task="multiple-choice", prefix="logits_proj")
    elif f"{SUMMARY}.summary.weight" in shapes or (
        "XLMForSequenceClassification" in (config.architectures or ()) and not config.summary_use_proj
    ):
        n_labels = sequence_summary.summary_width(config)
        found["classifier"] = classifier("text-classification", config, n_labels, prefix=SUMMARY)
    if "classifier.weight" in shapes:
        found["classifier"] = classifier("token-classification", config, shapes["classifier.weight"][0])
    if "qa_outputs.weight" in shapes:
        found["qa"] = Head(task="question-answering", prefix="qa_outputs")
    if "qa_outputs.start_logits.dense.weight" in shapes:
        found["qa"] = Head(task="question-answering", prefix="qa_outputs", variant="beam")
    found |= listed_heads(folder, shapes)
    if any(name.startswith("pred_layer.proj.") for name in shapes):
        found["mlm"] = Head(task="fill-mask", prefix="pred_layer.proj")
        if _can_continue(config):
            found["lm"] = Head(task="text-generation", prefix="pred_layer.proj")
    return found | vector_heads(shapes)


def head_shapes(head: Head, found: Shapes, config: Any) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor that a head reads, by its name in the checkpoint.

    Raises CheckpointError that names the setting for which the reference has no such head.
    """
    prefix, width = head.prefix, int(config.emb_dim)
    if head.task == "text-classification" and head.variant != "linear":
        return sequence_summary.summary_shapes(prefix, config)
    if head.task == "multiple-choice":
        return sequence_summary.summary_shapes(SUMMARY, config) | linear_shapes(
            prefix, 1, sequence_summary.summary_width(config)
        )
    if head.task in {"text-classification", "token-classification"}:
        return linear_shapes(prefix, len(head.labels) or found.get(f"{prefix}.weight", (0,))[0], width)
    if head.task == "question-answering":
        return beam_head.beam_shapes(prefix, width) if head.variant == "beam" else linear_shapes(prefix, 2, width)
    if head.task in {"fill-mask", "text-generation"}:
        return lm_head.prediction_shapes(prefix, found, config)
    return linear_shapes(prefix, 1, width) if head.variant == "sparse" else {}


def build_head(
    head: Head, tensors: Mapping[str, Tensor], words: nn.Module, config: Any, parts: ModelParts
) -> heads.Head:
    """Make a head from checkpoint tensors. `words` is the word embedding, which the decoder may share."""
    prefix = head.prefix

    def linear(name: str) -> nn.Module:
        return parts.linear(name, tensors[f"{name}.weight"], tensors.get(f"{name}.bias"))

    if head.variant == "linear":
        return heads.LinearHead(linear(prefix), head.pooling)
    if head.task in {"text-classification", "multiple-choice"}:
        chooses = head.task == "multiple-choice"
        name = f"{SUMMARY if chooses else prefix}.summary"
        project = linear(name) if config.summary_use_proj else nn.Identity()
        activate = sequence_summary.activation_of(config)
        score = linear(prefix) if chooses else None
        return sequence_summary.SummaryHead(config.summary_type, project, activate, score)
    if head.task == "token-classification":
        return heads.TokenHead(linear(prefix))
    if head.task == "question-answering":
        return (
            beam_head.build_beam(prefix, tensors, config, parts)
            if head.variant == "beam"
            else heads.SpanHead(linear(prefix))
        )
    if head.task in {"fill-mask", "text-generation"}:
        kind = heads.MaskedLmHead if head.task == "fill-mask" else heads.NextTokenHead
        return kind(nn.Identity(), _decoder(prefix, tensors, words, config, parts))
    return heads.SparseHead(linear(prefix)) if head.variant == "sparse" else heads.EmbedHead()


def _can_continue(config: Any) -> bool:
    """Say whether the mask and the language that the reference needs for generation exist. Without them it fails.

    Without a table of languages `lang_id` is not read.
    """
    mask = config.mask_token_id
    reads_langs = config.use_lang_emb and config.n_langs > 1
    knows_lang = not reads_langs or 0 <= config.lang_id < config.n_langs
    return mask is not None and 0 <= mask < config.vocab_size and knows_lang


def _decoder(
    prefix: str, tensors: Mapping[str, Tensor], words: nn.Module, config: Any, parts: ModelParts
) -> heads.Decoder:
    """Make the scores over the vocabulary: an adaptive softmax or a product.

    The product shares the word embedding if no other weight is stored.
    """
    if config.asm:
        return parts.decoder(lm_head.adaptive_of(prefix, tensors, config, parts), config.vocab_size)
    bias, stored = tensors[f"{prefix}.bias"], tensors.get(f"{prefix}.weight")
    if stored is None or torch.equal(stored, tensors[WORDS]):
        return parts.decoder(parts.tied(prefix, words, bias), config.vocab_size)
    return parts.decoder(parts.linear(prefix, stored, bias), config.vocab_size)
