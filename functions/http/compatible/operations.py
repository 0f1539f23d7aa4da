"""What the routes of other ecosystems take and answer, for the OpenAPI page.

Must not answer requests.
"""

from dataclasses import replace
from typing import Any

from pydantic import BaseModel, RootModel, create_model

from functions.http.compatible import cohere, hugging_face, openai, tei
from functions.http.compatible.paths import TEI_PREFIXES
from functions.http.openapi.page import Operation


class OpenAIErrorFacts(BaseModel):
    """What OpenAI says of an error."""

    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIError(BaseModel):
    """An error of OpenAI: what was got, then what was expected."""

    error: OpenAIErrorFacts


class CohereError(BaseModel):
    """An error of Cohere: what was got, then what was expected."""

    message: str


class TeiError(BaseModel):
    """An error of TEI or Hugging Face: what was got, then what was expected."""

    error: str
    error_type: str


class RankingBody(RootModel[tei.TeiRerankBody | cohere.CohereRerankBody]):
    """A body of TEI. One of Cohere or Jina, with `documents` in place of `texts`, is answered in their form."""


def with_cohere(ours: Operation) -> Operation:
    """Return our operation of a ranking with Cohere's body beside: both are posted to one path."""
    both = RootModel[ours.body | cohere.CohereRerankBody]  # type: ignore[name-defined] # made of two classes
    body = create_model("SharedRerankBody", __base__=both, __doc__="A body of ours, or one of Cohere or Jina.")
    return replace(ours, body=body, answer=Any)


def _posts(error: type[BaseModel], *rows: tuple[str, str, type[BaseModel], Any]) -> tuple[Operation, ...]:
    """Return operations of path, summary, body and answer that share the form of their errors."""
    return tuple(Operation("POST", *row, error=error) for row in rows)


def _tei(prefix: str) -> tuple[Operation, ...]:
    """Return the operations of TEI at the root, or for a named model."""
    of = "TEI with a named model" if prefix else "TEI"
    return (
        *_posts(
            TeiError,
            (f"{prefix}/embed", f"{of}: a vector for each text", tei.TeiEmbedBody, list[list[float]]),
            (f"{prefix}/embed_all", f"{of}: a vector for each token", tei.TeiEmbedAllBody, list[Any]),
            (f"{prefix}/embed_sparse", f"{of}: weights of tokens", tei.TeiEmbedAllBody, list[Any]),
            (f"{prefix}/similarity", f"{of}: cosines of sentences", tei.TeiSimilarityBody, list[float]),
            (f"{prefix}/predict", f"{of}: labels of texts and pairs", tei.TeiPredictBody, list[Any]),
            (f"{prefix}/rerank", f"{of}: texts by relevance", RankingBody, Any),
            (f"{prefix}/tokenize", f"{of}: tokens of texts", tei.TeiTokenizeBody, list[Any]),
            (f"{prefix}/decode", f"{of}: texts of tokens", tei.TeiDecodeBody, list[str]),
        ),
        *_about_a_model(prefix, of),
    )


def _about_a_model(prefix: str, of: str) -> tuple[Operation, ...]:
    return (
        Operation("GET", f"{prefix}/info", f"{of}: facts of the model", error=TeiError),
        Operation("GET", f"{prefix}/health", f"{of}: whether the model server takes requests", error=TeiError),
    )


_FACTS = dict[str, Any]
OPERATIONS = (
    *_posts(
        OpenAIError,
        ("/v1/embeddings", "OpenAI: vectors of texts", openai.OpenAIEmbeddingsBody, _FACTS),
        ("/v1/completions", "OpenAI: continuations of prompts", openai.OpenAICompletionsBody, _FACTS),
        ("/hf/<model>/v1/completions", "Hugging Face: continuations", openai.OpenAICompletionsBody, _FACTS),
    ),
    *_posts(
        CohereError,
        ("/v1/embed", "Cohere 1: vectors of texts", cohere.CohereEmbedBody, _FACTS),
        ("/v2/embed", "Cohere 2: vectors of texts, by their type", cohere.CohereEmbedBody, _FACTS),
        ("/v2/rerank", "Cohere 2: documents by relevance", cohere.CohereRerankBody, _FACTS),
    ),
    *_posts(
        TeiError,
        ("/hf/<model>", "Hugging Face: the task that the body fits", hugging_face.HuggingFaceBody, Any),
        ("/hf/<model>/<task>", "Hugging Face: a named task", hugging_face.HuggingFaceBody, Any),
    ),
    *_about_a_model("/hf/<model>", "Hugging Face"),
    *(operation for prefix in TEI_PREFIXES for operation in _tei(prefix)),
    Operation("GET", "/metrics", "TEI: a page for Prometheus", answer=str, error=TeiError, media_type="text/plain"),
)
