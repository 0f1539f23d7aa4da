"""Requests, windows and calls of the tiny model. No tokenizer is needed."""

from __future__ import annotations

from functions.messages import Route, TextInput, TokenFacts, Tokenized, Window
from functions.pipeline.pack_calls import pack_calls
from functions.tasks.parse import parse_parameters
from functions.tasks.task import TextRequest
from shared.messages import InferCall
from tests.unit.functions.tokenizers.tiny import catalog_model

MODEL = catalog_model(1000)


def text_request(task: str = "text-classification", model: str | None = None, **more: float) -> TextRequest:
    """Make a request of one text."""
    parameters = parse_parameters(task, None)
    return TextRequest(task, (TextInput("a"),), parameters, model, **more)  # type: ignore[arg-type]  # deadline_s only


def pack(tokenized: Tokenized, request: TextRequest | None = None, now_s: float = 0.0) -> tuple[InferCall, ...]:
    """Pack windows into calls for the tiny model."""
    return pack_calls(request or text_request(), Route("tiny", "topic", "base"), tokenized, MODEL, now_s=now_s)


def window(n_tokens: int, positions: tuple[int, ...] = (), first_id: int = 0) -> Window:
    """Make a window of consecutive ids."""
    ids = tuple(range(first_id, first_id + n_tokens))
    return Window(0, ids, lambda: TokenFacts(((0, 0),) * n_tokens, (False,) * n_tokens), positions)
