"""Every route of TEI, asked as its documentation says, with the forms of the answers that it documents (1.7.1).

TEI has no client of its own, so plain requests stand in for one. Must not know how our routes answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema

from tests.conformance.clients.calls import Api, Call, HttpError, api_of_arguments, report

VERSION = "1.7.1"
TEXT = "The river rises."
TEXTS = ["A cat sleeps.", "Das Wasser steigt."]
NUMBER, NATURAL, STRING = {"type": "number"}, {"type": "integer", "minimum": 0}, {"type": "string"}
PLACE = {"type": ["integer", "null"], "minimum": 0}


def _list(items: object) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _object(**fields: object) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(fields)}


LABELS = _list(_object(label=STRING, score=NUMBER))
NAMED = {"id2label": {"type": "object"}, "label2id": {"type": "object"}}
FORMS: dict[str, dict[str, Any]] = {
    "embed": _list(_list(NUMBER)),
    "embed_all": _list(_list(_list(NUMBER))),
    "embed_sparse": _list(_list(_object(index=NATURAL, value=NUMBER))),
    "rerank": _list(_object(index=NATURAL, score=NUMBER)),
    "predict": {"anyOf": [LABELS, _list(LABELS)]},
    "similarity": _list(NUMBER),
    "tokenize": _list(_list(_object(id=NATURAL, text=STRING, special={"type": "boolean"}, start=PLACE, stop=PLACE))),
    "decode": _list(STRING),
    "info": _object(
        model_id=STRING, model_dtype=STRING, max_concurrent_requests=NATURAL, max_input_length=NATURAL,
        max_batch_tokens=NATURAL, max_client_batch_size=NATURAL, auto_truncate={"type": "boolean"},
        tokenization_workers=NATURAL, version=STRING,
        model_type={"anyOf": [_object(classifier=_object(**NAMED)), _object(reranker=_object(**NAMED)),
                              _object(embedding=_object(pooling=STRING))]},
    ),
    "error": _object(
        error=STRING, error_type={"enum": ["Unhealthy", "Backend", "Overloaded", "Validation", "Tokenizer"]}
    ),
}  # fmt: skip


def calls(api: Api) -> Iterator[Call]:
    """Yield the calls."""

    def asked(route: str, body: Any, form: str | None = None, model: str = "") -> Any:
        found = api.post(f"{f'/tei/{model}' if model else ''}/{route}", body)
        jsonschema.validate(found, FORMS[form or route])
        return found

    def tokenized() -> Any:
        return asked("tokenize", {"inputs": TEXTS})

    embed, label, rank = "feature-extraction", "text-classification", "rerank"
    yield Call("/embed, a text", embed, lambda: asked("embed", {"inputs": TEXT}), lambda: _unit(api, [TEXT]))
    yield Call(
        "/embed, texts, normalize, truncate",
        embed,
        lambda: asked("embed", {"inputs": TEXTS, "normalize": False, "truncate": True}, model=api.model(embed)),
        lambda: api.own(embed, TEXTS, normalize=False, truncation=True),
    )
    yield Call(
        "/embed, token ids",
        embed,
        lambda: asked("embed", {"inputs": [api.tokens(text, embed) for text in TEXTS]}),
        lambda: _unit(api, TEXTS),
    )
    yield Call(
        "/embed_all",
        embed,
        lambda: asked("embed_all", {"inputs": TEXTS}),
        lambda: api.own(embed, TEXTS, per_token=True),
    )
    yield Call(
        "/embed_sparse",
        embed,
        lambda: [
            {str(each["index"]): each["value"] for each in found}
            for found in asked("embed_sparse", {"inputs": TEXTS}, model=api.sparse())
        ],
        lambda: [
            {str(each["token_id"]): each["weight"] for each in found} for found in api.named(api.sparse(), embed, TEXTS)
        ],
    )
    yield Call(
        "/rerank, raw_scores, return_text",
        rank,
        lambda: [
            each["text"]
            for each in asked("rerank", {"query": TEXT, "texts": TEXTS, "raw_scores": True, "return_text": True})
        ],
        lambda: [TEXTS[each["index"]] for each in api.one(rank, {"query": TEXT, "documents": TEXTS})],
    )
    for inputs in (TEXT, [TEXT, TEXTS[0]], [[TEXT], TEXTS]):
        ours = [_pair(each) for each in inputs] if isinstance(inputs[0], list) else _pair(inputs)
        yield Call(
            f"/predict, {_kind(inputs)}",
            label,
            lambda inputs=inputs: asked("predict", {"inputs": inputs}),
            lambda ours=ours: _labels(api, ours),
        )
    compared = {"source_sentence": TEXT, "sentences": TEXTS}
    yield Call(
        "/similarity",
        "sentence-similarity",
        lambda: asked("similarity", {"inputs": compared}),
        lambda: api.one("sentence-similarity", compared),
    )
    yield Call(
        "/tokenize, /decode",
        "",
        lambda: asked("decode", {"ids": [[each["id"] for each in one] for one in tokenized()]}),
        lambda: TEXTS,
    )
    for task in (embed, label, rank):
        yield Call(f"/info of {task}", task, lambda task=task: _fits(api, api.model(task)), lambda: True)
    yield Call("/health", "", lambda: api.get("/health") is not None, lambda: True)
    yield Call("/metrics", "", lambda: b"# TYPE" in api.get("/metrics"), lambda: True)
    yield Call("errors: error, error_type", embed, lambda: _refused(api), lambda: ["Validation", 413])


def _unit(api: Api, texts: list[str]) -> Any:
    return api.own("feature-extraction", texts, normalize=True)


def _pair(inputs: str | list[str]) -> Any:
    texts = [inputs] if isinstance(inputs, str) else inputs
    return {"text": texts[0], "text_pair": texts[1]} if len(texts) > 1 else texts[0]


def _kind(inputs: Any) -> str:
    return "a text" if isinstance(inputs, str) else "a list" if isinstance(inputs[0], list) else "a pair"


def _labels(api: Api, ours: Any) -> Any:
    found = api.own("text-classification", ours, top_k=None)
    return found if isinstance(ours, list) else found[0]


def _fits(api: Api, model: str) -> bool:
    jsonschema.validate(api.json(f"/tei/{model}/info"), FORMS["info"])
    return True


def _refused(api: Api) -> list[Any]:
    """Return what is said of an empty text, and the status for too many texts."""
    answers = []
    for inputs in ("", ["a"] * 2500):
        try:
            api.post("/embed", {"inputs": inputs})
        except HttpError as error:
            jsonschema.validate(error.answer, FORMS["error"])
            answers.append(error)
    return [answers[0].answer["error_type"], answers[1].status]


if __name__ == "__main__":
    report("TEI's routes, without a client", VERSION, calls(api_of_arguments()))
