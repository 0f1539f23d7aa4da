"""What the routes about models answer, as types for the OpenAPI document.

Tests compare them with real answers. Must not know how an answer is made.
"""

from typing import Literal

from pydantic import BaseModel, Field


class Health(BaseModel):
    """The model server takes requests."""

    status: Literal["ready"]


class OpenAIModel(BaseModel):
    """A model as OpenAI lists it."""

    id: str
    object: Literal["model"]
    created: Literal[0]
    owned_by: str


class HeadFacts(BaseModel):
    """What a head does, and how its vectors are made where it makes them."""

    task: str
    tasks: list[str]
    labels: list[str]
    default: bool = Field(description="whether it answers when a request names the model alone")
    activation: str | None = None
    pooling: str | None = None
    normalize: bool | None = None
    dimensions: int | None = None
    prompts: list[str] | None = None
    default_prompt: str | None = None


class ModelFacts(OpenAIModel):
    """What a caller may know of a model."""

    name: str
    revision: str
    family: str
    lane: str = Field(description="the old name of `size_class`")
    size_class: str
    dtype: str
    max_tokens: int
    vocab_size: int
    mask_token: str | None
    languages: str
    tokenizer_sha256: str
    tasks: list[str]
    heads: dict[str, HeadFacts]


class ModelsAnswer(BaseModel):
    """All models. `defaults` has, for each task, the model:head that answers a request without a model."""

    object: Literal["list"]
    data: list[OpenAIModel]
    default_model: str
    defaults: dict[str, str]
    models: list[ModelFacts]
