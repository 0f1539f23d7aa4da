"""Text generation returns decoded continuations."""

from __future__ import annotations

import pytest

from functions.tokenizers.tokenizer import Tokenizer
from shared.catalog import Model
from shared.messages import ModelOutput, Tensor
from tests.unit.functions.http.bodies import valid_body
from tests.unit.functions.task_requests import run_request


@pytest.mark.parametrize("full", [True, False])
def test_continuations_follow_their_prompt(model: Model, tokenizer: Tokenizer, *, full: bool) -> None:
    """Each sequence is decoded without special tokens, and follows its prompt or stands alone."""
    new = [tokenizer.encode(text).ids for text in ("free and equal", "born", "in dignity", "and rights")]
    ids = [token for i, one in enumerate(new) for token in (*one, *((2,) if i % 2 else ()))]
    lengths = [len(one) + i % 2 for i, one in enumerate(new)]
    inferred = ModelOutput({"ids": Tensor.ints(ids), "row_lengths": Tensor.ints(lengths)})
    body = valid_body("text-generation", ["a ", "b"], do_sample=True, num_return_sequences=2, return_full_text=full)
    values = run_request(model, tokenizer, body, "text-generation", lambda _: [inferred]).values
    texts = [[tokenizer.decode(one) for one in new[:2]], [tokenizer.decode(one) for one in new[2:]]]
    prompts = ("a ", "b") if full else ("", "")
    assert list(values) == [
        [{"generated_text": prompt + text} for text in found] for prompt, found in zip(prompts, texts, strict=True)
    ]
