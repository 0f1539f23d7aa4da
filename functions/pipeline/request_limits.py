"""How much one request may carry, and the checks of it, each before the work that it bounds.

Numbers of one call to the model server are in shared/limits.py. Must not know HTTP, tokenizers or the catalog.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from functions.messages import TextInput, Tokenized
from functions.tasks.parse import n_characters
from functions.tasks.task import TaskParameters
from shared.errors import TooLarge, Unprocessable
from shared.limits import MAX_RECORD_BYTES
from shared.messages import InferCall, Sampling

MAX_GUESSES = 100_000  # most guesses of a fill-mask request, over all masks
MAX_READ_BACK_TOKENS = 5_000_000  # each guess is answered with its whole text; a token takes a byte or more of 5 MB
MAX_TOKEN_VECTORS = 8_192  # most vectors of tokens or layers: at width 1024 they take 32 MiB, in JSON 20 times that
MAX_ATTENTIONS = 2**14  # most pairs of tokens with attentions: those of one text of 128 tokens
MAX_REQUEST_NEW_TOKENS = 65_536  # most new tokens over all continuations
MAX_MASKS = 64  # most masks in one input
MAX_READ_TOKENS = 2_000_000  # most tokens in all windows of one input; each takes 16 bytes of memory or more
MAX_REQUEST_TOKENS = 2 * MAX_READ_TOKENS  # most tokens in all windows of one request
MAX_IDS = 1_000_000  # most ids in one request to /v1/detokenize

AS_JOB = "send fewer or shorter texts, or the whole as a batch job: POST /v1/jobs"
FEWER = "send fewer or shorter texts in one request; a batch job takes any number of texts of that length"
DIVIDED = f"divide the text; a batch job takes texts of at most {MAX_RECORD_BYTES} bytes each: POST /v1/jobs"
RECORD_FRAME_BYTES = 512  # of a record, around its texts: the names of fields, and its id
SHORTER = "shorten the text, or what is read beside it, or let windows share fewer tokens"


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """How much one request may carry: inputs, the texts read for them, and Unicode code points over all these texts.

    Labels, choices and documents each count as a text. The text that is read with each of them counts every time.
    """

    max_inputs: int = 512
    max_texts: int = 4096
    max_chars: int = 1_000_000


REQUEST_LIMITS = RequestLimits()


def check_texts(parameters: TaskParameters, inputs: Sequence[TextInput], limits: RequestLimits) -> None:
    """Refuse inputs that would make the model read too much. Raises TooLarge."""
    n_texts, n_chars, n_expanded = n_characters(parameters, inputs, limits.max_chars)
    if n_texts > limits.max_texts:
        found = f"got {n_texts} texts to read for {len(inputs)} inputs"
        raise TooLarge(f"{found}, at most {limits.max_texts} in one request", hint=AS_JOB)
    if n_expanded > limits.max_chars:
        standing = f" that stand for {n_expanded}" if n_expanded > n_chars else ""
        found = f"got {n_chars} characters of text{standing}"
        hint = AS_JOB if all(map(fits_a_record, inputs)) else DIVIDED
        raise TooLarge(f"{found}, at most {limits.max_chars} in one request", hint=hint)


def fits_a_record(item: TextInput) -> bool:
    """Return whether a batch job takes an input as one line of JSON."""
    texts = (item.text, item.text_pair or "", *item.texts)
    n_bytes = len(json.dumps(texts, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    return n_bytes + RECORD_FRAME_BYTES <= MAX_RECORD_BYTES


def check_tokens(n_tokens: int, n_inputs: int) -> None:
    """Refuse a request whose first `n_inputs` inputs already have too many tokens. Raises TooLarge."""
    if n_tokens > MAX_REQUEST_TOKENS:
        most = f"at most {MAX_REQUEST_TOKENS} in one request"
        raise TooLarge(f"got {n_tokens} tokens to read for {n_inputs} inputs, {most}", hint=AS_JOB)


def check_input_tokens(n_tokens: int, where: str) -> None:
    """Refuse one input whose windows hold too many tokens. `where` names it. Raises TooLarge."""
    if n_tokens > MAX_READ_TOKENS:
        raise TooLarge(f"{where}: got {n_tokens} tokens to read for it, at most {MAX_READ_TOKENS}", hint=SHORTER)


def check_answer(call: InferCall, tokenized: Tokenized) -> None:
    """Refuse a request whose answer would be too large. `call` has its fields, without tokens.

    Raises TooLarge, and Unprocessable for attentions of a text that has several windows.
    """
    for check in (_check_guesses, _check_vectors, _check_attentions, _check_new_tokens):
        check(call, tokenized)


def n_tokens(tokenized: Tokenized) -> int:
    """Return how many tokens the model reads for a request, special ones and overlaps included."""
    return sum(len(window.input_ids) for window in tokenized.windows)


def n_new_tokens(sampling: Sampling | None, tokenized: Tokenized) -> int:
    """Return how many tokens the model may generate for a request."""
    if sampling is None:
        return 0
    return len(tokenized.windows) * sampling.num_return_sequences * sampling.max_new_tokens


def _check_guesses(call: InferCall, tokenized: Tokenized) -> None:
    n_masks = sum(len(window.positions) for window in tokenized.windows)
    if not n_masks:
        return
    n_guesses = n_masks * (call.top_k + len(call.target_ids))
    if n_guesses > MAX_GUESSES:
        raise TooLarge(f"got {n_masks} masks that ask for {n_guesses} guesses, at most {MAX_GUESSES} in one request")
    n_each = min(call.top_k, len(call.target_ids) or call.top_k)
    n_tokens = sum(len(window.positions) * n_each * len(window.input_ids) for window in tokenized.windows)
    if n_tokens > MAX_READ_BACK_TOKENS:
        found = f"got {n_masks} masks whose guesses stand in texts of {n_tokens} tokens together"
        raise TooLarge(f"{found}, at most {MAX_READ_BACK_TOKENS} in one request", hint="ask for fewer guesses or masks")


def _check_vectors(call: InferCall, tokenized: Tokenized) -> None:
    if not (call.per_token or call.layers):
        return
    n_rows = n_tokens(tokenized) if call.per_token else len(tokenized.windows)
    n_vectors = n_rows * max(1, len(call.layers))
    if n_vectors > MAX_TOKEN_VECTORS:
        found = f"{n_rows} {'tokens' if call.per_token else 'windows'}"
        each = "a vector" if len(call.layers) < 2 else f"{len(call.layers)} vectors"  # noqa: PLR2004 - a plural
        raise TooLarge(f"got {found} that ask for {each} each, at most {MAX_TOKEN_VECTORS} in one request", hint=FEWER)


def _check_attentions(call: InferCall, tokenized: Tokenized) -> None:
    if not call.attentions:
        return
    if len({window.input_index for window in tokenized.windows}) < len(tokenized.windows):
        raise Unprocessable("parameters.attentions: got a text of several windows, expected texts that fit in one")
    n_weights = sum(len(window.input_ids) ** 2 for window in tokenized.windows)
    if n_weights > MAX_ATTENTIONS:
        found = f"got {n_weights} pairs of tokens that ask for attention"
        raise TooLarge(f"{found}, at most {MAX_ATTENTIONS} in one request", hint=FEWER)


def _check_new_tokens(call: InferCall, tokenized: Tokenized) -> None:
    n_new = n_new_tokens(call.sampling, tokenized)
    if n_new > MAX_REQUEST_NEW_TOKENS:
        found = f"got {len(tokenized.windows)} prompts that ask for up to {n_new} new tokens"
        raise TooLarge(f"{found}, at most {MAX_REQUEST_NEW_TOKENS} in one request", hint=FEWER)
