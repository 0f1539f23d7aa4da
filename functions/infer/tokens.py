"""Tokens of texts for a person to look at: the body of `/v1/tokenize` -> its answer, by the desks' own rules.

Must not know HTTP or the model server.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from functions.infer.answers import tokens_json
from functions.pipeline.schema import parse_request
from functions.pipeline.tokenize import Tokenizer, windows
from shared.catalog import Catalog, Model, split_reference
from shared.errors import NotFound, Unprocessable
from shared.messages import TextInput, Window

READS_LIKE = "text-classification"  # texts and pairs, within the same bounds
KEYS = ("inputs", "model")


def tokenize_json(
    body: Mapping[str, object], catalog: Catalog, tokenizers: Mapping[str, Tokenizer]
) -> tuple[dict[str, Any], Model]:
    """Return the answer and the model whose tokenizer made it.

    Raises Unprocessable, TooLarge (inputs), NotFound (model, head).
    """
    for key in body:
        if key not in KEYS:
            raise Unprocessable(f"unknown field {ascii(key)[:80]}, expected {', '.join(KEYS)}")
    request = parse_request(READS_LIKE, body)
    name, head = split_reference(request.model or catalog.default_model)
    model = catalog.model(name)
    if head is not None and head not in model.heads:
        raise NotFound(f"model {name} has no head {ascii(head)[:80]}; heads: {sorted(model.heads)}")
    tokenizer = tokenizers[name]
    results = [tokens_json(*_whole(item, model, tokenizer), tokenizer) for item in request.inputs]
    return {"model": name, "results": results}, model


def _whole(item: TextInput, model: Model, tokenizer: Tokenizer) -> tuple[Window, int | None]:
    """Return all tokens of an input as one window, however long, and how many windows a model would read.

    None when it would refuse the input: a pair whose shorter text takes more than half of a window.
    """
    layout = tokenizer.layout
    text = tokenizer.encode(item.text)
    if item.text_pair is None:
        room = model.max_tokens - layout.n_special(pair=False)
        whole = windows.window(0, 0, [windows.Side(text, (0, len(text.ids)))], layout)
        return whole, len(windows.spans(len(text.ids), room))
    pair = tokenizer.encode(item.text_pair)
    lengths = (len(text.ids), len(pair.ids))
    spans = windows.pair_spans(*lengths, model.max_tokens - layout.n_special(pair=True))
    whole = windows.window(0, 0, [windows.Side(text, (0, lengths[0])), windows.Side(pair, (0, lengths[1]))], layout)
    return whole, len(spans) if spans is not None else None
