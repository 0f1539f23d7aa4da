"""Lists, for each kind of head, the tensors that it answers with and the call fields that only it reads.

The replica describes itself, pads outputs and validates rows by these lists. The shapes are those of
`shared.messages.ModelOutput`. This module must not know weights, bytes or HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from shared.catalog import EMBEDS, Head, HeadTask, Model
from shared.messages import Datatype

# what the first dimension counts; "vector" is a token when the call says per_token, else a row
Counted = Literal["row", "token", "mask", "vector", "sequence", "new token", "attention weight"]


@dataclass(frozen=True, slots=True)
class OutputTensor:
    """One output of a head: its name, its datatype, how many dimensions it has, and what the first one counts."""

    name: str
    datatype: Datatype
    n_dimensions: int
    one_per: Counted


_OUTPUTS: Mapping[HeadTask, tuple[OutputTensor, ...]] = {
    "text-classification": (OutputTensor("logits", "FP32", 2, "row"),),
    "token-classification": (OutputTensor("logits", "FP32", 2, "token"),),
    "fill-mask": (
        OutputTensor("top_ids", "INT32", 2, "mask"),
        OutputTensor("top_logits", "FP32", 2, "mask"),
        OutputTensor("log_sum_exp", "FP32", 1, "mask"),
        OutputTensor("target_logits", "FP32", 2, "mask"),
    ),
    "feature-extraction": (
        OutputTensor("vectors", "FP32", 2, "vector"),
        OutputTensor("hidden_states", "FP32", 3, "vector"),
        OutputTensor("attentions", "FP32", 1, "attention weight"),
        OutputTensor("attention_sizes", "INT32", 2, "row"),
    ),
    "question-answering": (OutputTensor("start", "FP32", 1, "token"), OutputTensor("end", "FP32", 1, "token")),
    "multiple-choice": (OutputTensor("logits", "FP32", 2, "row"),),
    "text-generation": (
        OutputTensor("ids", "INT32", 1, "new token"),
        OutputTensor("row_lengths", "INT32", 1, "sequence"),
    ),
}
_BEAM_OUTPUTS = (  # question answering with a beam: the names of XLMForQuestionAnswering in transformers
    OutputTensor("start_top_log_probs", "FP32", 2, "row"),
    OutputTensor("start_top_index", "INT32", 2, "row"),
    OutputTensor("end_top_log_probs", "FP32", 2, "row"),
    OutputTensor("end_top_index", "INT32", 2, "row"),
    OutputTensor("cls_logits", "FP32", 1, "row"),
)

_SPARSE_OUTPUTS = (OutputTensor("token_weights", "FP32", 1, "token"),)
_OF_VARIANTS = {"beam": _BEAM_OUTPUTS, "sparse": _SPARSE_OUTPUTS}

CALL_FIELDS: Mapping[HeadTask, tuple[str, ...]] = {  # fields of InferCall that only heads of this task read
    "feature-extraction": ("per_token", "normalize", "pooling", "layers", "attentions"),
    "fill-mask": ("positions", "target_ids", "top_k"),
    "text-generation": ("sampling",),
}


def head_outputs(head: Head) -> tuple[OutputTensor, ...]:
    """Return every tensor that a head may answer with, also those that only some calls ask for."""
    return _OF_VARIANTS.get(head.variant, _OUTPUTS[head.task])


def default_head(model: Model) -> str:
    """Return the head that answers a call which names none: the first of the entry, which is a fine-tune's own."""
    return next(iter(model.heads))


def per_token_outputs(head: Head, *, per_token: bool) -> frozenset[str]:
    """Return the names of the outputs that have one entry for each token; `per_token` is that field of the call."""
    per_token_units = {"token", "vector"} if per_token else {"token"}
    return frozenset(output.name for output in head_outputs(head) if output.one_per in per_token_units)


def declared_json(head: Head) -> dict[str, object]:
    """Return what a head declares, for the facts that callers see: pooling of vectors, names of prompts, activation."""
    found: dict[str, object] = {"activation": head.activation} if head.activation else {}
    if head.task == EMBEDS and not head.variant:
        found |= {"pooling": head.pooling, "normalize": head.normalize}
        if head.dimensions:
            found["dimensions"] = head.dimensions
        if head.prompts:
            found |= {"prompts": sorted(head.prompts), "default_prompt": head.default_prompt}
    return found
