"""The v2 metadata of a model. Fields of our own stand beside those of the protocol.

Pure. Must not know HTTP or engines.
"""

from __future__ import annotations

from collections.abc import Mapping

from shared.catalog import Head, Model
from shared.protocol import CallLimits

# name, datatype, shape (-1: any), optional. Packed calls have row_lengths. Padded calls have the mask and ids like it
INPUTS: tuple[tuple[str, str, tuple[int, ...], bool], ...] = (
    ("input_ids", "INT32", (-1,), False),
    ("row_lengths", "INT32", (-1,), True),
    ("attention_mask", "INT32", (-1, -1), True),
    ("positions", "INT32", (-1,), True),
    ("positions_per_row", "INT32", (-1,), True),
    ("target_ids", "INT32", (-1,), True),
    ("lang_ids", "INT32", (-1,), True),
    ("token_type_ids", "INT32", (-1,), True),
    ("position_ids", "INT32", (-1,), True),
)
OUTPUTS: Mapping[str, tuple[tuple[str, str, int], ...]] = {  # by task: name, datatype, number of dimensions
    "text-classification": (("logits", "FP32", 2),),
    "token-classification": (("logits", "FP32", 2),),
    "fill-mask": (
        ("top_ids", "INT32", 2),
        ("top_logits", "FP32", 2),
        ("log_sum_exp", "FP32", 1),
        ("target_logits", "FP32", 2),
    ),
    "feature-extraction": (
        ("vectors", "FP32", 2),
        ("hidden_states", "FP32", 3),
        ("attentions", "FP32", 1),
        ("attention_sizes", "INT32", 2),
    ),
    "question-answering": (("start", "FP32", 1), ("end", "FP32", 1)),
    "multiple-choice": (("logits", "FP32", 2),),
    "text-generation": (("ids", "INT32", 1), ("row_lengths", "INT32", 1)),
}

BEAM_OUTPUTS = (  # question answering with a beam; the names are those of transformers
    ("start_top_log_probs", "FP32", 2),
    ("start_top_index", "INT32", 2),
    ("end_top_log_probs", "FP32", 2),
    ("end_top_index", "INT32", 2),
    ("cls_logits", "FP32", 2),
)


def metadata(model: Model, limits: CallLimits) -> dict[str, object]:
    """Return the v2 metadata of a model. Heads, limits, fingerprint and revision stand beside the protocol's keys."""
    outputs = {entry for head in model.heads.values() for entry in _outputs(head)}
    return {
        "name": model.name,
        "versions": [model.revision],
        "platform": f"glossa_{model.family}",
        "inputs": [
            {"name": name, "datatype": datatype, "shape": list(shape), "optional": optional}
            for name, datatype, shape, optional in INPUTS
        ],
        "outputs": [
            {"name": name, "datatype": datatype, "shape": [-1] * dimensions}
            for name, datatype, dimensions in sorted(outputs)
        ],
        "revision": model.revision,
        "fingerprint": model.tokenizer_sha256,
        "heads": {name: _head(head) for name, head in model.heads.items()},
        "limits": {
            "max_body_bytes": limits.max_body_bytes,
            "max_rows": limits.max_rows,
            "max_tokens": limits.max_tokens,
            "max_row_tokens": limits.max_row_tokens,
            "vocab_size": limits.vocab_size,
            "n_types": limits.n_types,
            "n_positions": limits.n_positions,
        },
    }


def _outputs(head: Head) -> tuple[tuple[str, str, int], ...]:
    return BEAM_OUTPUTS if head.variant == "beam" else OUTPUTS[head.task]


def _head(head: Head) -> dict[str, object]:
    names = [name for name, _, _ in _outputs(head)]
    return {
        "task": head.task,
        "also": list(head.also),
        "labels": list(head.labels),
        "outputs": names,
        "default": head.default,
    }
