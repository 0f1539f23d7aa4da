"""What a replica says of itself: v2 metadata and v2 statistics, with our own fields beside theirs.

Pure. Must not know HTTP or how the numbers came to be.
"""

from __future__ import annotations

from collections.abc import Mapping

from serve.scheduling.pending_calls import Counts
from serve.scheduling.response_cache import ResponseCache
from shared.catalog import Head, Model
from shared.protocol import CallLimits

NS = 1e9
MS = 1e3

# name, datatype, shape (-1: any), optional. Packed calls have row_lengths; padded ones the mask, and ids of its shape
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
OUTPUTS: Mapping[str, tuple[tuple[str, str, int], ...]] = {  # by task: name, datatype, dimensions
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

BEAM_OUTPUTS = (  # of question answering with a beam, as the reference names them
    ("start_top_log_probs", "FP32", 2),
    ("start_top_index", "INT32", 2),
    ("end_top_log_probs", "FP32", 2),
    ("end_top_index", "INT32", 2),
    ("cls_logits", "FP32", 2),
)


def metadata(model: Model, limits: CallLimits) -> dict[str, object]:
    """Return the v2 metadata of a model; heads, limits, fingerprint and revision stand beside the protocol's keys."""
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


def statistics(
    model: Model,
    counts: Counts,
    cache: ResponseCache,
    *,
    refused: Mapping[str, int],
    backlog_tokens: int,
    cache_bytes: int,
    tokens_per_s: float,
    last_answer_s: float,
) -> dict[str, object]:
    """Return the v2 statistics of a model; times are sums in nanoseconds, `last_inference` is epoch ms.

    `glossa` holds what the protocol has no name for: tokens, the backlog, measured speed, refusals by code,
    and of the response cache the rows found and not found, and the bytes it holds.
    """
    stages_s = {"success": counts.queue_s + counts.infer_s, "queue": counts.queue_s, "compute_infer": counts.infer_s}
    inference_stats = {name: {"count": counts.n_answered, "ns": int(s * NS)} for name, s in stages_s.items()}
    n_failed = counts.n_failed + counts.n_expired + counts.n_cancelled
    return {
        "model_stats": [
            {
                "name": model.name,
                "version": model.revision,
                "last_inference": int(last_answer_s * MS),
                "inference_count": counts.n_rows,
                "execution_count": counts.n_batches,
                "inference_stats": {**inference_stats, "fail": {"count": n_failed, "ns": 0}},
                "glossa": {
                    "backlog_tokens": backlog_tokens,
                    "cache_bytes": cache_bytes,
                    "response_cache": {"n_hits": cache.n_hits, "n_misses": cache.n_misses, "n_bytes": cache.n_bytes},
                    "tokens_per_s": round(tokens_per_s, 1),
                    "n_tokens": counts.n_tokens,
                    "n_generated_tokens": counts.n_generated_tokens,
                    "n_batches": counts.n_batches,
                    "forward_s": round(counts.forward_s, 6),
                    "n_answered": counts.n_answered,
                    "n_expired": counts.n_expired,
                    "n_cancelled": counts.n_cancelled,
                    "n_failed": counts.n_failed,
                    "n_broken_passes": counts.n_broken_passes,
                    "refused": dict(refused),
                },
            }
        ]
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
