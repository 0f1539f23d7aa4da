"""The v2 statistics of a replica. Fields of our own stand beside those of the protocol.

Pure. Must not know HTTP or how the numbers are measured.
"""

from __future__ import annotations

from collections.abc import Mapping

from serve.scheduling.pending_calls import Counts
from serve.scheduling.response_cache import ResponseCache
from shared.catalog import Model

NS_PER_S = 1e9
MS_PER_S = 1e3


def statistics(
    model: Model,
    counts: Counts,
    response_cache: ResponseCache,
    *,
    refused: Mapping[str, int],
    backlog_tokens: int,
    kv_cache_bytes: int,
    tokens_per_s: float,
    last_answer_s: float,
) -> dict[str, object]:
    """Return the v2 statistics of a model. Times are sums in nanoseconds; `last_inference` is in ms since 1970.

    `last_answer_s` is in seconds since 1970. `refused` counts refusals by error code. The key `glossa` holds what the
    protocol has no name for, such as tokens, measured speed, and hits and bytes of the response cache.
    """
    stages_s = {"success": counts.queue_s + counts.infer_s, "queue": counts.queue_s, "compute_infer": counts.infer_s}
    inference_stats = {name: {"count": counts.n_answered, "ns": int(s * NS_PER_S)} for name, s in stages_s.items()}
    n_failed = counts.n_failed + counts.n_expired + counts.n_cancelled
    others = {"fail": n_failed, "cache_hit": response_cache.n_hits, "cache_miss": response_cache.n_misses}
    others |= dict.fromkeys(("compute_input", "compute_output"), 0)  # not measured apart
    return {
        "model_stats": [
            {
                "name": model.name,
                "version": model.revision,
                "last_inference": int(last_answer_s * MS_PER_S),
                "inference_count": counts.n_rows,
                "execution_count": counts.n_batches,
                "inference_stats": inference_stats | {name: {"count": n, "ns": 0} for name, n in others.items()},
                "batch_stats": [],
                "glossa": {
                    "backlog_tokens": backlog_tokens,
                    "cache_bytes": kv_cache_bytes,
                    "response_cache": {
                        "n_hits": response_cache.n_hits,
                        "n_misses": response_cache.n_misses,
                        "n_bytes": response_cache.n_bytes,
                    },
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
