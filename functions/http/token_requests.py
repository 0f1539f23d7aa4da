"""Answers the bodies of `/v1/tokenize` and `/v1/detokenize`, by the same rules as the pipeline.

Must not know HTTP or the model server.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from functions.http.text_json import read_inputs, read_model
from functions.pipeline.request_limits import MAX_IDS, REQUEST_LIMITS, RequestLimits, check_texts
from functions.pipeline.token_view import text_of, tokens_of
from functions.tasks.parse import parse_parameters, task_named
from functions.tokenizers.tokenizer import Tokenizer
from shared.catalog import Catalog, Model, split_reference
from shared.error_text import kind, shown
from shared.errors import NotFound, TooLarge, Unprocessable
from shared.strict_json import whole_numbers

READS_LIKE = "text-classification"  # texts and pairs, within the same bounds
TOKENIZE_KEYS = ("inputs", "model", "add_special_tokens")
DETOKENIZE_KEYS = ("ids", "model", "skip_special_tokens")
FEWER = "send less in one request, and the rest in others"
Tokenizers = Mapping[str, Tokenizer]


@contextmanager
def without_batch_jobs() -> Iterator[None]:
    """Give every TooLarge of the block the hint to send less: no batch job does what these routes do."""
    try:
        yield
    except TooLarge as error:
        error.hint = FEWER
        raise


def tokenize_json(
    body: Mapping[str, object], catalog: Catalog, tokenizers: Tokenizers, limits: RequestLimits = REQUEST_LIMITS
) -> tuple[dict[str, Any], Model]:
    """Return the answer of `/v1/tokenize` and the model whose tokenizer made it.

    Raises Unprocessable, TooLarge (inputs), NotFound (model, head).
    """
    fields = _fields(body, TOKENIZE_KEYS)
    special = _flag(fields, "add_special_tokens", default=True)
    inputs = read_inputs(fields.get("inputs"), READS_LIKE, task_named(READS_LIKE).parameters.input_forms, limits)
    check_texts(parse_parameters(READS_LIKE, None), inputs, limits)
    model = _model(read_model(fields.get("model")), catalog)
    results = [
        tokens_of(item, model, tokenizers[model.name], f"inputs[{i}]", special=special) for i, item in enumerate(inputs)
    ]
    return {"model": model.name, "results": results}, model


def detokenize_json(
    body: Mapping[str, object], catalog: Catalog, tokenizers: Tokenizers, limits: RequestLimits = REQUEST_LIMITS
) -> tuple[dict[str, Any], Model]:
    """Return the answer of `/v1/detokenize`: the text of each list of ids. Raises as `tokenize_json`."""
    fields = _fields(body, DETOKENIZE_KEYS)
    skip = _flag(fields, "skip_special_tokens", default=False)
    lists = _lists(fields.get("ids"), limits)
    name = fields.get("model")
    if name is not None and (not isinstance(name, str) or not name):
        raise Unprocessable(f'model: got {shown(name)}, expected "model" or "model:head"')
    model = _model(name, catalog)
    tokenizer = tokenizers[model.name]
    texts = [text_of(ids, tokenizer, where, skip_special=skip) for where, ids in lists]
    return {"model": model.name, "results": [{"text": text} for text in texts]}, model


def _fields(body: Mapping[str, object], keys: Iterable[str]) -> Mapping[str, object]:
    for key in body:
        if key not in keys:
            raise Unprocessable(f"unknown field {shown(key)}, expected {', '.join(keys)}")
    return body


def _flag(fields: Mapping[str, object], name: str, *, default: bool) -> bool:
    found = default if fields.get(name) is None else fields[name]
    if not isinstance(found, bool):
        raise Unprocessable(f"{name}: got {shown(found)}, expected true or false")
    return found


def _lists(raw: object, limits: RequestLimits) -> list[tuple[str, list[object]]]:
    """Read `ids`: a list of ids, or a list of such lists. Each comes with its name in messages."""
    raw = whole_numbers(raw)
    if not isinstance(raw, list):
        found = "nothing" if raw is None else kind(raw)
        raise Unprocessable(f"ids: got {found}, expected a list of ids, or a list of such lists")
    many = bool(raw) and all(isinstance(ids, list) for ids in raw)
    lists = [(f"ids[{i}]", ids) for i, ids in enumerate(raw)] if many else [("ids", raw)]
    if len(lists) > limits.max_inputs:
        raise TooLarge(f"got {len(lists)} lists of ids, at most {limits.max_inputs} in one request")
    if (n_ids := sum(len(ids) for _, ids in lists)) > MAX_IDS:
        raise TooLarge(f"got {n_ids} ids, at most {MAX_IDS} in one request")
    return lists


def _model(reference: str | None, catalog: Catalog) -> Model:
    name, head = split_reference(reference or catalog.default_model)
    model = catalog.model(name)
    if head is not None and head not in model.heads:
        raise NotFound(f"model {name} has no head {shown(head)}; heads: {sorted(model.heads)}")
    return model
