"""What the routes of other ecosystems take and answer, for the OpenAPI page.

Must not answer requests.
"""

from typing import Any

from functions.http.compatible import cohere, hugging_face, openai, tei
from functions.http.compatible.tei_routes import PREFIXES
from functions.http.openapi import Operation


def _tei(prefix: str) -> tuple[Operation, ...]:
    """Return the operations of TEI at the root, or for a named model."""
    of = " with a named model" if prefix else ""
    return (
        Operation("POST", f"{prefix}/embed", f"TEI{of}: a vector for each text", tei.EmbedBody, list[list[float]]),
        Operation("POST", f"{prefix}/embed_all", f"TEI{of}: a vector for each token", tei.EmbedAllBody, list[Any]),
        Operation("POST", f"{prefix}/embed_sparse", f"TEI{of}: weights of tokens", tei.EmbedAllBody, list[Any]),
        Operation("POST", f"{prefix}/similarity", f"TEI{of}: cosines", tei.SimilarityBody, list[float]),
        Operation("POST", f"{prefix}/predict", f"TEI{of}: labels of texts and pairs", tei.PredictBody, list[Any]),
        Operation("POST", f"{prefix}/rerank", f"TEI{of}: texts by relevance", _Ranking, Any),
        Operation("POST", f"{prefix}/tokenize", f"TEI{of}: tokens of texts", tei.TokenizeBody, list[Any]),
        Operation("POST", f"{prefix}/decode", f"TEI{of}: texts of tokens", tei.DecodeBody, list[str]),
        Operation("GET", f"{prefix}/info", f"TEI{of}: facts of the model"),
        Operation("GET", f"{prefix}/health", f"TEI{of}: whether the model server takes requests"),
    )


class _Ranking(tei.RerankBody):
    """A body of TEI. One of Cohere or Jina, with `documents` in place of `texts`, is answered in their form."""


OPERATIONS = (
    Operation("POST", "/v1/embeddings", "OpenAI: vectors of texts", openai.EmbeddingsBody),
    Operation("POST", "/v1/completions", "OpenAI: continuations of prompts", openai.CompletionsBody),
    Operation("POST", "/v1/embed", "Cohere 1: vectors of texts", cohere.EmbedBody),
    Operation("POST", "/v2/embed", "Cohere 2: vectors of texts, in several precisions", cohere.EmbedBody),
    Operation("POST", "/v2/rerank", "Cohere 2: documents by relevance", cohere.RerankBody),
    Operation("POST", "/hf/<model>", "Hugging Face: the task that the body fits", hugging_face.Body, Any),
    Operation("POST", "/hf/<model>/<task>", "Hugging Face: a named task", hugging_face.Body, Any),
    Operation("POST", "/hf/<model>/v1/completions", "Hugging Face: continuations of prompts", openai.CompletionsBody),
    Operation("GET", "/hf/<model>/info", "Hugging Face: facts of the model"),
    Operation("GET", "/hf/<model>/health", "Hugging Face: whether the model server takes requests"),
    *(operation for prefix in PREFIXES for operation in _tei(prefix)),
    Operation("GET", "/metrics", "TEI: a page for Prometheus", answer=str),
)
