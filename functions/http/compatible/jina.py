"""Jina's embeddings: OpenAI's body with more fields, on the same path.

The forms are those of https://jina.ai/embeddings. Must not know how vectors are made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from functions.http.compatible.fields import Flag, declared_prompt
from functions.http.compatible.openai import OpenAIEmbeddingsBody
from functions.tasks.rerank import PROMPT_NAMES
from shared.catalog import Head

_QUERY, _DOCUMENT = PROMPT_NAMES
_PROMPTS: Mapping[str, tuple[str, ...]] = {
    "retrieval.query": _QUERY,
    "retrieval.passage": _DOCUMENT,
    "classification": ("classification",),
    "separation": ("clustering",),
    "text-matching": (),
}
EmbeddingType = Literal["float", "base64", "binary", "ubinary"]
JinaTask = Literal["retrieval.query", "retrieval.passage", "classification", "separation", "text-matching"]


class EmbeddingsBody(OpenAIEmbeddingsBody):
    """Texts or token ids to turn into vectors of length 1, by OpenAI's fields or Jina's.

    `task` takes the prompt of that name, if the checkpoint declares it, else none. With `truncate`, a long text loses
    what is behind its first window; else it is read in windows.
    """

    embedding_type: EmbeddingType | None = None
    encoding_type: Annotated[EmbeddingType | None, Field(description="what LlamaIndex calls embedding_type")] = None
    task: JinaTask | None = None
    truncate: Flag = False
    normalized: Annotated[Literal[True], Field(description="vectors have length 1")] = True
    late_chunking: Annotated[Literal[False], Field(description="each text has a vector of its own")] = False

    @property
    def encoding(self) -> str:
        """How vectors are written."""
        return self.embedding_type or self.encoding_type or self.encoding_format

    def prompt_name(self, head: Head) -> str | None:
        """Return the name of the prompt before the texts, "" for none, None for the default of the head."""
        return None if self.task is None else declared_prompt(_PROMPTS[self.task], head)

    @property
    def truncation(self) -> bool | None:
        """Whether long texts keep their first window alone."""
        return self.truncate or None
