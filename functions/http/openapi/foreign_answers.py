"""What the routes of other ecosystems answer, as types for the OpenAPI document.

Tests compare them with real answers. Must not know how an answer is made.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

Vectors = list[list[float]]
Base64 = Annotated[str, Field(description="base64 of float32, little-endian")]


class Embedding(BaseModel):
    """The vector of one input."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | list[int] | Base64


class EmbeddingsUsage(BaseModel):
    """Tokens that were read."""

    prompt_tokens: int
    total_tokens: int


class OpenAIEmbeddings(BaseModel):
    """Vectors, as OpenAI answers them."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: EmbeddingsUsage


class CompletionChoice(BaseModel):
    """One continuation."""

    text: str
    index: int
    logprobs: None
    finish_reason: Literal["length", "stop"]


class CompletionUsage(EmbeddingsUsage):
    """Tokens that were read and written."""

    completion_tokens: int


class OpenAICompletion(BaseModel):
    """Continuations, as OpenAI answers them."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: CompletionUsage


class CohereMeta(BaseModel):
    """What was counted, as Cohere says it."""

    api_version: dict[str, str]
    billed_units: dict[str, int]
    tokens: dict[str, int]


class CohereFloats(BaseModel):
    """Vectors as lists of numbers."""

    id: str
    texts: list[str]
    response_type: Literal["embeddings_floats"]
    embeddings: Vectors
    meta: CohereMeta


class CohereByType(BaseModel):
    """Vectors by their type."""

    id: str
    texts: list[str]
    response_type: Literal["embeddings_by_type"]
    embeddings: dict[str, Vectors | list[list[int]] | list[str]]
    meta: CohereMeta


class CohereRank(BaseModel):
    """A document by its place in the request."""

    index: int
    relevance_score: float
    document: dict[str, Any] | None = None


class CohereRanking(BaseModel):
    """Documents by relevance, as Cohere and Jina answer them."""

    id: str
    object: Literal["list"]
    model: str
    results: list[CohereRank]
    usage: EmbeddingsUsage
    meta: CohereMeta


class TeiRank(BaseModel):
    """A text by its place in the request."""

    index: int
    score: float
    text: str | None = None


class TeiWeight(BaseModel):
    """The weight of a token."""

    index: int
    value: float


class TeiLabel(BaseModel):
    """A label with its score."""

    label: str
    score: float


class TeiToken(BaseModel):
    """A token with its place in the text; a special one has none."""

    id: int
    text: str
    special: bool
    start: int | None
    stop: int | None


class TeiInfo(BaseModel):
    """The facts of a model."""

    model_id: str
    model_sha: str
    model_dtype: str
    model_type: dict[str, Any]
    max_input_length: int
    max_batch_tokens: int
    max_client_batch_size: int
    max_concurrent_requests: int
    tokenization_workers: int
    auto_truncate: bool
    version: str
