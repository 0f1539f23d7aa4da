"""OpenAI's embeddings and completions: bodies, and answers made of results.

The forms are those of https://platform.openai.com/docs/api-reference. Vectors have length 1, as OpenAI's have. Must not
know how vectors or texts are made.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, Strict

from functions.http.compatible.fields import (
    Flag,
    ForeignBody,
    Ignored,
    ModelReference,
    Never,
    TextsOrIds,
    has_ids,
    listed,
    parameters,
    texts_of_ids,
)
from functions.messages import Result
from functions.tasks.postprocessing.vectors import quantized
from functions.tokenizers.tokenizer import Tokenizer
from shared.catalog import Head
from shared.limits import MAX_NEW_TOKENS, MAX_SEED, MAX_SEQUENCES, MAX_TEMPERATURE

# Fields of ours, and their names here.
EMBEDDINGS_NAMES = (("inputs", "input"), ("parameters.dimensions", "dimensions"))
COMPLETIONS_NAMES = (
    ("inputs", "prompt"),
    ("parameters.max_new_tokens", "max_tokens"),
    ("parameters: got num_return_sequences", "n: got"),
)
NoPenalty = Annotated[float, Field(ge=0, le=0, strict=True, description="0 alone: there are no penalties here")]


class OpenAIEmbeddingsBody(ForeignBody):
    """Texts or token ids to turn into vectors."""

    input: TextsOrIds
    model: ModelReference | None = None
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Strict(), Field(ge=1)] | None = None
    user: Ignored = None

    @property
    def encoding(self) -> str:
        """How vectors are written."""
        return self.encoding_format

    def prompt_name(self, head: Head) -> str | None:  # noqa: ARG002 - OpenAI has no prompts, others do
        """Return the name of the prompt before the texts, "" for none, None for the default of the head."""
        return None

    @property
    def truncation(self) -> bool | None:
        """Whether long texts keep their first window alone."""
        return None


class OpenAICompletionsBody(ForeignBody):
    """Prompts to continue. Temperature 0 takes the likeliest token; without `seed` the seed is 0."""

    prompt: TextsOrIds
    model: ModelReference | None = None
    max_tokens: Annotated[int, Strict(), Field(ge=1, le=MAX_NEW_TOKENS)] = 16
    temperature: Annotated[float, Field(ge=0, le=MAX_TEMPERATURE, strict=True)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1, strict=True)] = 1.0
    top_k: Annotated[int, Strict(), Field(ge=0)] = 0
    n: Annotated[int, Strict(), Field(ge=1, le=MAX_SEQUENCES)] = 1
    seed: Annotated[int, Strict(), Field(ge=0, le=MAX_SEED)] | None = None
    echo: Flag = False
    do_sample: Flag | None = None
    return_full_text: Annotated[Flag, Field(description="the name that Hugging Face has for `echo`")] = False
    stream: Annotated[Never, Field(description="answers come whole")] = False
    best_of: Annotated[int, Strict(), Field(ge=1, le=1, description="any other number is refused")] = 1
    frequency_penalty: NoPenalty = 0.0
    presence_penalty: NoPenalty = 0.0
    user: Ignored = None

    @property
    def echoes(self) -> bool:
        """Whether the prompt stands before its continuation."""
        return self.echo or self.return_full_text


def texts(value: object, tokenizer: Tokenizer, where: str) -> list[str]:
    """Return the texts of an input: as they are, or read from token ids. Raises Unprocessable, TooLarge."""
    found, _ = listed(value, where)
    return texts_of_ids(found, tokenizer, where) if has_ids(found) else found  # type: ignore[return-value] # the task checks that they are texts


def embeddings_request(body: OpenAIEmbeddingsBody, tokenizer: Tokenizer, head: Head) -> dict[str, Any]:
    """Return the body of feature-extraction. Raises Unprocessable, TooLarge."""
    wanted = parameters(
        normalize=True, dimensions=body.dimensions, prompt_name=body.prompt_name(head), truncation=body.truncation
    )
    return {"inputs": texts(body.input, tokenizer, "input"), "model": body.model, "parameters": wanted}


def embeddings_answer(body: OpenAIEmbeddingsBody, result: Result) -> dict[str, Any]:
    """Return the vectors in their encoding, with the tokens that were read."""
    vectors: list[list[float]] = list(result.values)  # type: ignore[arg-type] # of feature-extraction in float32
    encode = ENCODERS[body.encoding]
    data = [
        {"object": "embedding", "index": index, "embedding": encode(vector)} for index, vector in enumerate(vectors)
    ]
    n_tokens = sum(result.n_tokens)
    usage = {"prompt_tokens": n_tokens, "total_tokens": n_tokens}
    return {"object": "list", "data": data, "model": body.model or result.model, "usage": usage}


def base64_of(vector: Sequence[float]) -> str:
    """Return a vector as base64 of its float32 bytes, little-endian."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _as_bits(precision: Literal["binary", "ubinary"]) -> Callable[[Sequence[float]], object]:
    return lambda vector: quantized(list(vector), precision)


# How a vector is written, by the names of OpenAI and Jina.
ENCODERS: Mapping[str, Callable[[Sequence[float]], object]] = {
    "float": list,
    "base64": base64_of,
    "binary": _as_bits("binary"),
    "ubinary": _as_bits("ubinary"),
}


def completions_request(body: OpenAICompletionsBody, tokenizer: Tokenizer) -> dict[str, Any]:
    """Return the body of text-generation. Raises Unprocessable, TooLarge."""
    samples = body.temperature > 0 if body.do_sample is None else body.do_sample
    wanted = parameters(
        max_new_tokens=body.max_tokens,
        do_sample=samples,
        temperature=body.temperature if samples and body.temperature > 0 else None,
        top_p=body.top_p,
        top_k=body.top_k,
        num_return_sequences=body.n,
        seed=body.seed,
        return_full_text=body.echoes,
    )
    return {"inputs": texts(body.prompt, tokenizer, "prompt"), "model": body.model, "parameters": wanted}


def completions_answer(
    body: OpenAICompletionsBody, result: Result, tokenizer: Tokenizer, *, answer_id: str, created_s: int
) -> dict[str, Any]:
    """Return the continuations. Their tokens are counted by tokenizing them, `length` if the limit is reached."""
    prompts = texts(body.prompt, tokenizer, "prompt") if body.echoes else [""] * len(result.values)
    choices: list[dict[str, Any]] = []
    n_new = 0
    for prompt, found in zip(prompts, result.values, strict=True):
        for one in found:  # type: ignore[attr-defined] # a list of sequences, each with its text
            text = one["generated_text"]
            n_tokens = len(tokenizer.encode(text[len(prompt) :]).ids)
            n_new += n_tokens
            reason = "length" if n_tokens >= body.max_tokens else "stop"
            choices.append({"text": text, "index": len(choices), "logprobs": None, "finish_reason": reason})
    n_read = sum(result.n_tokens)
    usage = {"prompt_tokens": n_read, "completion_tokens": n_new, "total_tokens": n_read + n_new}
    about = {"id": f"cmpl-{answer_id}", "object": "text_completion", "created": created_s}
    return {**about, "model": body.model or result.model, "choices": choices, "usage": usage}
