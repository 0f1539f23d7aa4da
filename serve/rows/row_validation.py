"""Validates rows before a forward pass, so that a bad row fails alone.

Each error gives the value that was received and the value that was expected. This module must not know weights, batches
or who runs the forward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np

from serve.rows.backbone_limits import MAX_EXTRA_BYTES, BackboneLimits
from serve.rows.generation import Rules, begin
from serve.rows.pack import NO_PAD
from serve.rows.row import Row
from shared.catalog import Model
from shared.errors import GlossaError, NotFound, TooLarge, Unprocessable
from shared.limits import MAX_TARGETS, MAX_TOP_K
from shared.messages import InferCall, Sampling
from shared.protocol.head_outputs import CALL_FIELDS

DEFAULTS = {field.name: field.default for field in fields(Row)}
TASK_FIELDS = {  # parameters that only one task reads, with their defaults
    task: {name: DEFAULTS[name] for name in names} for task, names in CALL_FIELDS.items()
}


def begin_if_valid(row: Row, model: Model, bounds: BackboneLimits, rules: Rules) -> Row:
    """Return the row of the first pass for a valid generating row. Return any other row unchanged."""
    head = model.heads.get(row.head)
    if (
        row.state is not None
        or head is None
        or head.task != "text-generation"
        or validate_rows([row], model, bounds)[0]
    ):
        return row
    return begin(row, rules)


def validate_rows(rows: Sequence[Row], model: Model, bounds: BackboneLimits) -> list[GlossaError | None]:
    """Return one entry per row: the reason why the model cannot take it, or None.

    Rows whose generation has started are not checked again.
    """
    errors = [None if row.state is not None else _row_error(row, model, bounds) for row in rows]
    for index in _out_of_range(rows, model.vocab_size):
        wrong = next(int(i) for i in rows[index].input_ids if not 0 <= i < model.vocab_size)
        errors[index] = errors[index] or Unprocessable(f"got token id {wrong}, expected 0 <= id < {model.vocab_size}")
    return errors


def check_output_bytes(call: InferCall, bounds: BackboneLimits, most_bytes: int) -> None:
    """Raise TooLarge when token vectors, hidden states and attentions of a call exceed `most_bytes` together."""
    if not (call.per_token or call.layers or call.attentions):
        return
    lengths = call.row_lengths.int_values()
    n_vectors = sum(lengths) if call.per_token else len(lengths)
    n_bytes = bounds.states_bytes(n_vectors, len(call.layers) + call.per_token)
    n_bytes += sum(map(bounds.attention_bytes, lengths)) if call.attentions else 0
    if n_bytes > most_bytes:
        raise TooLarge(
            f"got vectors or attentions of {call.n_tokens} tokens that take {n_bytes} bytes, at most {most_bytes}",
            hint="send fewer rows in a call",
        )


def _row_error(row: Row, model: Model, bounds: BackboneLimits) -> GlossaError | None:
    if row.n_tokens == 0:
        return Unprocessable("got a row of 0 tokens, expected at least 1")
    if row.n_tokens > model.max_tokens:
        return TooLarge(f"got a row of {row.n_tokens} tokens, model {model.name} takes at most {model.max_tokens}")
    if row.head not in model.heads:
        return NotFound(f"model {model.name} has no head {row.head!r}; heads: {sorted(model.heads)}")
    return _extra_ids_error(row, model, bounds) or _task_error(row, model, bounds)


def _extra_ids_error(row: Row, model: Model, bounds: BackboneLimits) -> GlossaError | None:
    """Check the ids that accompany the tokens: languages, token types and positions."""
    kinds = {
        "lang_ids": (row.lang_ids, bounds.n_langs),
        "token_type_ids": (row.token_type_ids, bounds.n_types),
        "position_ids": (row.position_ids, bounds.n_positions),
    }
    for name, (ids, end) in kinds.items():
        if ids is None:
            continue
        if not end:
            return Unprocessable(f"got {name}, but family {model.family} takes none")
        if ids.shape != row.input_ids.shape:
            return Unprocessable(f"got {len(ids)} {name} for {row.n_tokens} tokens, expected one for each")
        if wrong := ids[(ids < 0) | (ids >= end)].tolist():
            return Unprocessable(f"got {wrong[0]} in {name}, expected 0 <= id < {end}")
    return None


def _task_error(row: Row, model: Model, bounds: BackboneLimits) -> GlossaError | None:
    task = model.heads[row.head].task
    if task == "text-generation":
        return _prompt_error(row, model) or _other_task_error(row, task)
    if row.sampling is not None:
        return Unprocessable(f"got parameters of text-generation, head {row.head} does {task}")
    if error := _other_task_error(row, task):
        return error
    if model.heads[row.head].variant == "sparse":
        return _sparse_error(row)
    if task == "feature-extraction":
        return _layer_output_error(row, bounds)
    return _mask_error(row, model) if task == "fill-mask" else None


def _other_task_error(row: Row, task: str) -> GlossaError | None:
    """Check that a row sets no parameter that its task ignores.

    `top_k` of greedy generation is allowed, because it changes nothing.
    """
    for owner, unasked in TASK_FIELDS.items():
        if owner == task:
            continue
        for name, value in unasked.items():
            if getattr(row, name) != value and not (name == "top_k" and task == "text-generation"):
                said = f"got {name}, a parameter of {owner}, head {row.head} does {task}"
                return Unprocessable(said, hint=f"leave {name} out, or name a head that does {owner}")
    return None


def _sparse_error(row: Row) -> GlossaError | None:
    """Check that a row asks a sparse head for nothing that only vectors have."""
    unasked = TASK_FIELDS["feature-extraction"]
    if asked := [name for name, value in unasked.items() if getattr(row, name) != value]:
        return Unprocessable(f"got {asked[0]}, head {row.head} answers with one weight for each token")
    return None


def _layer_output_error(row: Row, bounds: BackboneLimits) -> GlossaError | None:
    """Check the hidden states and attentions that a row asks for."""
    n_states = bounds.n_layers + 1
    if wrong := [layer for layer in row.layers if not -n_states <= layer < n_states]:
        return Unprocessable(
            f"parameters.layers: got layer {wrong[0]}, expected {-n_states} <= layer <= {bounds.n_layers}"
        )
    n_bytes = bounds.attention_bytes(row.n_tokens) if row.attentions else 0
    if n_bytes > MAX_EXTRA_BYTES:
        return Unprocessable(
            f"got a row of {row.n_tokens} tokens with attentions of {n_bytes} bytes, at most {MAX_EXTRA_BYTES}",
            hint=f"attentions of this model fit for at most {bounds.max_attention_tokens(MAX_EXTRA_BYTES)} tokens",
        )
    n_bytes = bounds.states_bytes(row.n_tokens if row.per_token else 1, len(row.layers))
    if n_bytes > MAX_EXTRA_BYTES:
        return Unprocessable(
            f"got {len(row.layers)} layers of a row of {row.n_tokens} tokens, {n_bytes} bytes, "
            f"at most {MAX_EXTRA_BYTES}"
        )
    return None


def _mask_error(row: Row, model: Model) -> GlossaError | None:
    if not row.positions:
        return Unprocessable(f"got no positions, head {row.head} reads at least 1 masked position")
    if len(row.positions) > row.n_tokens:
        return Unprocessable(
            f"got {len(row.positions)} positions, expected at most one for each of {row.n_tokens} tokens"
        )
    if wrong := [p for p in row.positions if not 0 <= p < row.n_tokens]:
        return Unprocessable(f"got position {wrong[0]}, expected 0 <= position < {row.n_tokens}")
    return _candidates_error(row, model.vocab_size)


def _candidates_error(row: Row, vocab_size: int) -> GlossaError | None:
    most = min(MAX_TOP_K, vocab_size)
    if not 1 <= row.top_k <= most:
        return Unprocessable(f"got top_k {row.top_k}, expected 1 <= top_k <= {most}")
    if len(row.target_ids) > MAX_TARGETS:
        return TooLarge(f"got {len(row.target_ids)} target ids, at most {MAX_TARGETS}")
    if wrong := [t for t in row.target_ids if not 0 <= t < vocab_size]:
        return Unprocessable(f"got target id {wrong[0]}, expected 0 <= id < {vocab_size}")
    return None


def _out_of_range(rows: Sequence[Row], vocab_size: int) -> list[int]:
    """Return the indices of rows with ids outside the vocabulary.

    It uses numpy, because it also runs on the event loop, beside threads that run forward passes.
    """
    if not rows:
        return []
    ids = [row.input_ids.numpy() for row in rows]
    every = np.concatenate(ids)
    if not len(every) or (every.min() >= 0 and every.max() < vocab_size):
        return []
    return [index for index, own in enumerate(ids) if len(own) and (own.min() < 0 or own.max() >= vocab_size)]


def _prompt_error(row: Row, model: Model) -> GlossaError | None:
    """Return why a model cannot continue this prompt, or None when it can."""
    sampling = row.sampling or Sampling()
    if sampling.max_new_tokens < 1:
        return Unprocessable(f"got max_new_tokens {sampling.max_new_tokens}, expected at least 1")
    if not sampling.do_sample and sampling.num_return_sequences > 1:
        return Unprocessable(
            f"got num_return_sequences {sampling.num_return_sequences} without do_sample, expected 1: greedy "
            "sequences are all the same"
        )
    if row.n_tokens + sampling.max_new_tokens > model.max_tokens:
        return Unprocessable(
            f"got a prompt of {row.n_tokens} tokens and max_new_tokens {sampling.max_new_tokens}, model "
            f"{model.name} takes at most {model.max_tokens} together"
        )
    return _sampling_error(sampling) or _continued_ids_error(row, model)


def _sampling_error(sampling: Sampling) -> GlossaError | None:
    if not 0 < sampling.temperature < float("inf"):
        return Unprocessable(f"got temperature {sampling.temperature:g}, expected a number above 0")
    if sampling.top_k < 0:
        return Unprocessable(f"got top_k {sampling.top_k}, expected at least 0")
    if not 0 <= sampling.seed < 2**63:
        return Unprocessable(f"got seed {sampling.seed}, expected 0 <= seed < 2**63")
    if not 0 < sampling.top_p <= 1:
        return Unprocessable(f"got top_p {sampling.top_p:g}, expected 0 < top_p <= 1")
    return None


def _continued_ids_error(row: Row, model: Model) -> GlossaError | None:
    if row.token_type_ids is not None:
        return Unprocessable("got token_type_ids, generation takes none")
    if row.layers or row.attentions:
        return Unprocessable("got layers or attentions, generation answers with tokens alone")
    if row.position_ids is not None and model.family == "xlm":
        return Unprocessable("got position_ids, generation of family xlm counts its own")
    if row.position_ids is not None and len(row.position_ids):
        last, more = int(row.position_ids[-1]), (row.sampling or Sampling()).max_new_tokens
        if last + more > (most := _last_position(model)):
            return Unprocessable(
                f"got position_ids up to {last} and max_new_tokens {more}, model {model.name} has places up to {most}"
            )
    if row.lang_ids is not None and len(langs := set(row.lang_ids.tolist())) > 1:
        return Unprocessable(f"got lang_ids {sorted(langs)[:8]} in one row, generation continues in one language")
    return None


def _last_position(model: Model) -> int:
    """Return the position of the last token of the longest row: positions count after the pad id, in BERT from 0."""
    return model.max_tokens + (NO_PAD if model.family == "bert" else model.pad_id)
