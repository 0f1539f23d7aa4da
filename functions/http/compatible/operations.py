"""What the routes of other ecosystems take and answer, for the OpenAPI page.

Must not answer requests.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, RootModel, create_model

from functions.http.compatible import cohere, hugging_face, jina, openai, tei
from functions.http.compatible.paths import TEI_PREFIXES
from functions.http.openapi import examples, problems
from functions.http.openapi import foreign_answers as answers
from functions.http.openapi.model_answers import Health
from functions.http.openapi.operation import Operation

Body = type[BaseModel]


def one_of(schema: dict[str, Any]) -> None:
    """Say that exactly one form fits: each refuses the fields of the others."""
    schema["oneOf"] = schema.pop("anyOf")


class RankingBody(RootModel[tei.TeiRerankBody | cohere.CohereRerankBody]):
    """A body of TEI. One of Cohere or Jina, with `documents` in place of `texts`, is answered in their form."""

    model_config = {"json_schema_extra": one_of}


class RankingAnswer(RootModel[list[answers.TeiRank] | answers.CohereRanking]):
    """The answer to a body of TEI, or to one of Cohere or Jina."""


def with_cohere(ours: Operation) -> Operation:
    """Return our operation of a ranking with Cohere's body beside: both are posted to one path."""
    body = create_model(
        "SharedRerankBody",
        __base__=RootModel[ours.body | cohere.CohereRerankBody],  # type: ignore[name-defined] # made of two classes
        __doc__="A body of ours, or one of Cohere or Jina.",
    )
    body.model_config["json_schema_extra"] = one_of
    answer = create_model(
        "SharedRerankAnswer",
        __base__=RootModel[ours.answer | answers.CohereRanking],  # type: ignore[name-defined] # likewise
        __doc__="The answer to a body of ours, or to one of Cohere or Jina.",
    )
    answer.model_config["json_schema_extra"] = one_of
    return replace(ours, body=body, answer=answer, error=problems.RankingProblem)


def _post(
    error: Body, path: str, summary: str, forms: tuple[Body, Any], sent: Mapping[str, Any] | None = None
) -> Operation:
    """Return an operation with the forms of its body, its answer and its errors, and bodies to try."""
    body, answer = forms
    return Operation("POST", path, summary, body, answer, error=error, examples=sent or {}, refusals=(404, 409))


def _tei(prefix: str) -> tuple[Operation, ...]:
    """Return the operations of TEI at the root, or for a named model."""
    of = "TEI with a named model" if prefix else "TEI"
    rows: Mapping[str, tuple[str, Body, Any]] = {
        "embed": ("a vector for each text", tei.TeiEmbedBody, answers.Vectors),
        "embed_all": ("a vector for each token", tei.TeiEmbedAllBody, list[answers.Vectors]),
        "embed_sparse": ("weights of tokens", tei.TeiEmbedAllBody, list[list[answers.TeiWeight]]),
        "similarity": ("cosines of sentences", tei.TeiSimilarityBody, list[float]),
        "predict": (
            "labels of texts and pairs",
            tei.TeiPredictBody,
            list[answers.TeiLabel] | list[list[answers.TeiLabel]],
        ),
        "rerank": ("texts by relevance", RankingBody, RankingAnswer),
        "tokenize": ("tokens of texts", tei.TeiTokenizeBody, list[list[answers.TeiToken]]),
        "decode": ("texts of tokens", tei.TeiDecodeBody, list[str]),
    }
    posts = (
        _post(
            problems.RankingError if name == "rerank" else problems.TeiError,
            f"{prefix}/{name}",
            f"{of}: {says}",
            (body, answer),
            None if prefix else examples.TEI.get(name),
        )
        for name, (says, body, answer) in rows.items()
    )
    return (*posts, *_about_a_model(prefix, of))


def _about_a_model(prefix: str, of: str) -> tuple[Operation, ...]:
    return (
        _about(f"{prefix}/info", f"{of}: facts of the model", answers.TeiInfo),
        _about(f"{prefix}/health", f"{of}: whether the model server takes requests", Health),
    )


def _about(path: str, summary: str, answer: Any, **more: Any) -> Operation:
    return Operation("GET", path, summary, None, answer, error=problems.TeiError, checks_query=False, **more)


_COMPLETION = (openai.OpenAICompletionsBody, answers.OpenAICompletion)
_HUGGING_FACE = (hugging_face.HuggingFaceBody, Any)
OPERATIONS = (
    _post(
        problems.OpenAIError,
        "/v1/embeddings",
        "OpenAI and Jina: vectors of texts",
        (jina.EmbeddingsBody, answers.OpenAIEmbeddings),
        examples.EMBEDDINGS,
    ),
    _post(
        problems.OpenAIError,
        "/v1/completions",
        "OpenAI: continuations of prompts",
        _COMPLETION,
        examples.COMPLETIONS,
    ),
    _post(problems.OpenAIError, "/hf/<model>/v1/completions", "Hugging Face: continuations", _COMPLETION),
    _post(
        problems.CohereError,
        "/v1/embed",
        "Cohere 1: vectors of texts",
        (cohere.CohereEmbedBody, answers.CohereFloats | answers.CohereByType),
        examples.COHERE_EMBED,
    ),
    _post(
        problems.CohereError,
        "/v2/embed",
        "Cohere 2: vectors of texts, by their type",
        (cohere.CohereEmbedBody, answers.CohereByType),
        examples.COHERE_EMBED,
    ),
    _post(
        problems.CohereError,
        "/v2/rerank",
        "Cohere 2: documents by relevance",
        (cohere.CohereRerankBody, answers.CohereRanking),
        examples.COHERE_RERANK,
    ),
    _post(
        problems.TeiError,
        "/hf/<model>",
        "Hugging Face: the task that the body fits",
        _HUGGING_FACE,
        examples.HUGGING_FACE,
    ),
    _post(problems.TeiError, "/hf/<model>/<task>", "Hugging Face: a named task", _HUGGING_FACE),
    *_about_a_model("/hf/<model>", "Hugging Face"),
    *(operation for prefix in TEI_PREFIXES for operation in _tei(prefix)),
    _about("/metrics", "TEI: a page for Prometheus", str, media_type="text/plain"),
)
