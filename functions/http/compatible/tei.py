"""The wire of text-embeddings-inference (TEI): bodies, and answers made of results.

The forms are those of https://huggingface.github.io/text-embeddings-inference. TEI serves one model and has no field
for it; here `model` may name one. Must not know how vectors or labels are made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, Strict, WithJsonSchema

from functions.http.compatible.fields import (
    Flag,
    ForeignBody,
    ModelReference,
    TextsOrIds,
    Whole,
    most,
    parameters,
)
from functions.http.compatible.service import MAX_INPUTS
from functions.messages import Result
from functions.tasks.parse import MAX_TEXTS
from shared.catalog import Catalog, Head, Model, split_reference
from shared.error_text import kind, shown
from shared.errors import Unprocessable

PAIR = 2
_STRING = {"type": "string", "minLength": 1}
_PAIR = {"type": "array", "items": _STRING, "minItems": 1, "maxItems": PAIR}
TextsAndPairs = Annotated[
    object,
    WithJsonSchema(
        {
            "description": "a text, [text, pair], or a list of [text] and [text, pair]",
            "anyOf": [_STRING, _PAIR, {"type": "array", "items": _PAIR, "minItems": 1, "maxItems": MAX_INPUTS}],
        }
    ),
]
Labels = list[dict[str, Any]]
# Fields of ours, and their names here.
EMBED_NAMES = (("parameters.dimensions", "dimensions"), ("parameters.prompt_name", "prompt_name"))
RANK_NAMES = (("inputs[0].query", "query"), ("inputs[0].documents", "texts"))
SIMILARITY_NAMES = (("inputs[0]", "inputs"),)


class TeiBody(ForeignBody):
    """What several bodies have. Long texts are read in windows; with `truncate`, only their first window is."""

    model: ModelReference | None = None
    truncate: Flag = False
    truncation_direction: Annotated[Literal["right", "Right"], Field(description="the end of a text is cut")] = "right"


class TeiEmbedBody(TeiBody):
    """Texts or token ids to turn into one vector each, of length 1 unless `normalize` is false."""

    inputs: TextsOrIds
    normalize: Flag = True
    prompt_name: str | None = None
    dimensions: Annotated[int, Strict(), Field(ge=1)] | None = None


class TeiEmbedAllBody(TeiBody):
    """Texts or token ids to turn into a vector for each token, or into weights of tokens."""

    inputs: TextsOrIds
    prompt_name: str | None = None


class TeiPredictBody(TeiBody):
    """Texts or pairs to label."""

    inputs: TextsAndPairs
    raw_scores: Flag = False


class TeiRerankBody(TeiBody):
    """A query, and texts to put in order."""

    query: str
    texts: Annotated[list[str], most(MAX_TEXTS)]
    raw_scores: Flag = False
    return_text: Flag = False


class TeiSentences(ForeignBody):
    """A sentence, and those that are compared with it."""

    source_sentence: str
    sentences: Annotated[list[str], most(MAX_TEXTS)]


class TeiSimilarityParameters(ForeignBody):
    """How the sentences are read."""

    truncate: Flag = False
    truncation_direction: Literal["right", "Right"] = "right"
    prompt_name: str | None = None


class TeiSimilarityBody(ForeignBody):
    """A sentence, and those that are compared with it by the cosine of their vectors."""

    inputs: TeiSentences
    parameters: TeiSimilarityParameters = TeiSimilarityParameters()
    model: ModelReference | None = None


class TeiTokenizeBody(ForeignBody):
    """Texts to tokenize."""

    inputs: str | Annotated[list[str], most(MAX_INPUTS)]
    add_special_tokens: Flag = True
    prompt_name: str | None = None
    model: ModelReference | None = None


class TeiDecodeBody(ForeignBody):
    """Token ids to read as text."""

    ids: Annotated[list[Whole], Field(min_length=1)] | Annotated[list[list[Whole]], Field(min_length=1)]
    skip_special_tokens: Flag = True
    model: ModelReference | None = None


def embed_request(body: TeiEmbedBody, texts: Sequence[object]) -> dict[str, Any]:
    """Return the body of feature-extraction for one vector a text. `texts` are those of the inputs."""
    wanted = parameters(normalize=body.normalize, prompt_name=body.prompt_name, dimensions=body.dimensions)
    return {"inputs": list(texts), "model": body.model, "parameters": wanted | _truncation(body.truncate)}


def embed_all_request(body: TeiEmbedAllBody, texts: Sequence[object]) -> dict[str, Any]:
    """Return the body of feature-extraction for a vector for each token."""
    wanted = parameters(per_token=True, prompt_name=body.prompt_name)
    return {"inputs": list(texts), "model": body.model, "parameters": wanted | _truncation(body.truncate)}


def embed_sparse_request(body: TeiEmbedAllBody, texts: Sequence[object], catalog: Catalog) -> dict[str, Any]:
    """Return the body of feature-extraction by a sparse head. Raises Unprocessable when no model has one, NotFound."""
    wanted = parameters(prompt_name=body.prompt_name) | _truncation(body.truncate)
    return {"inputs": list(texts), "model": sparse_head(body.model, catalog), "parameters": wanted}


def embed_sparse_answer(result: Result) -> list[list[dict[str, Any]]]:
    """Return the weights of each text by token id."""
    return [
        [{"index": each["token_id"], "value": each["weight"]} for each in value]  # type: ignore[attr-defined] # of a sparse head
        for value in result.values
    ]


def sparse_head(reference: str | None, catalog: Catalog) -> str:
    """Return the reference of a head that weighs tokens: the named one, that of the named model, or the first."""
    name, head = split_reference(reference) if reference else (None, None)
    models = catalog.models.values() if name is None else [catalog.model(name)]
    for model in models:
        for known, facts in model.heads.items():
            if facts.variant == "sparse" and head in (None, known):
                return f"{model.name}:{known}"
    found = "no model has" if reference is None else f"model: got {shown(reference)}, which does not have"
    raise Unprocessable(f"{found} a head that weighs tokens, expected one", hint="ask for /embed")


def predict_request(body: TeiPredictBody) -> tuple[dict[str, Any], bool]:
    """Return the body of text-classification, and whether it is for a list. Raises Unprocessable."""
    inputs, many = _sequences(body.inputs)
    wanted = {"top_k": None, "function_to_apply": "none" if body.raw_scores else "default"}
    return {"inputs": inputs, "model": body.model, "parameters": wanted | _truncation(body.truncate)}, many


def rerank_request(body: TeiRerankBody) -> dict[str, Any]:
    """Return the body of rerank."""
    apply = "none" if body.raw_scores else "default"
    wanted = {"function_to_apply": apply, "return_documents": body.return_text} | _truncation(body.truncate)
    return {"inputs": {"query": body.query, "documents": body.texts}, "model": body.model, "parameters": wanted}


def rerank_answer(result: Result) -> list[dict[str, Any]]:
    """Return the texts by score, best first."""
    ranked: Labels = result.values[0]  # type: ignore[assignment] # of rerank
    return [{("text" if name == "document" else name): value for name, value in each.items()} for each in ranked]


def similarity_request(body: TeiSimilarityBody) -> dict[str, Any]:
    """Return the body of sentence-similarity."""
    wanted = parameters(prompt_name=body.parameters.prompt_name) | _truncation(body.parameters.truncate)
    inputs = {"source_sentence": body.inputs.source_sentence, "sentences": body.inputs.sentences}
    return {"inputs": inputs, "model": body.model, "parameters": wanted}


def tokenize_answer(answer: Mapping[str, Any], texts: Sequence[str]) -> list[list[dict[str, Any]]]:
    """Return the tokens of each text. Places are in code points; a special token has none."""
    return [
        [
            {"id": i, "text": piece, "special": True, "start": None, "stop": None}
            if special
            else {"id": i, "text": text[start:stop], "special": False, "start": start, "stop": stop}
            for i, piece, (start, stop), special in zip(
                found["ids"], found["tokens"], found["offsets"], found["special_tokens_mask"], strict=True
            )
        ]
        for found, text in zip(answer["results"], texts, strict=True)
    ]


def info(model: Model, head: Head) -> dict[str, Any]:
    """Return what TEI says of its model, as far as it is known here."""
    return {
        "model_id": model.name,
        "model_sha": model.weights_sha256,
        "model_dtype": model.dtype,
        "model_type": _model_type(head),
        "max_input_length": model.max_tokens,
        "max_batch_tokens": model.token_budget,
        "max_client_batch_size": MAX_TEXTS if "rerank" in head.tasks else MAX_INPUTS,
        "max_concurrent_requests": max(1, model.max_backlog_tokens // model.max_tokens),
        "tokenization_workers": 1,
        "auto_truncate": False,
        "version": model.revision,
    }


def _model_type(head: Head) -> dict[str, Any]:
    if head.task == "feature-extraction":
        return {"embedding": {"pooling": "splade" if head.variant == "sparse" else head.pooling}}
    labels = {str(i): label for i, label in enumerate(head.labels)}
    known = {"id2label": labels, "label2id": {label: i for i, label in enumerate(head.labels)}}
    if head.task == "text-classification":
        return {"reranker" if len(labels) == 1 else "classifier": known}
    return {head.task: known}


def _sequences(value: object) -> tuple[list[object], bool]:
    """Return texts and pairs as inputs of ours, and whether they came as a list of lists."""
    if isinstance(value, list) and value and all(isinstance(each, list) for each in value):
        return [_sequence(each, f"inputs[{i}]") for i, each in enumerate(value)], True
    return [_sequence(value if isinstance(value, list) else [value], "inputs")], False


def _sequence(value: list[object], where: str) -> object:
    if not 1 <= len(value) <= PAIR:
        raise Unprocessable(
            f"{where}: got {len(value)} values, expected a text or a pair; several are [[text], [text]]"
        )
    if not all(isinstance(text, str) for text in value):
        wrong = next(text for text in value if not isinstance(text, str))
        raise Unprocessable(f"{where}: got {kind(wrong)}, expected a text or a pair of texts")
    return value[0] if len(value) == 1 else {"text": value[0], "text_pair": value[1]}


def _truncation(truncate: bool) -> dict[str, Any]:  # noqa: FBT001 - the field of the body
    return {"truncation": True} if truncate else {}
