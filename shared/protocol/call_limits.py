"""Checks a decoded call against the limits of a replica.

Every id and position is checked, so that no forward pass reads outside an embedding table or another row. This module
must not know bytes or JSON.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared.errors import TooLarge, Unprocessable
from shared.limits import MAX_TARGETS
from shared.messages import ITEM_BYTES, InferCall, Tensor
from shared.protocol.frame import JsonBounds


@dataclass(frozen=True, slots=True)
class CallLimits:
    """Limits of one call. Tokens include special tokens.

    `max_tokens` limits all rows together, `max_row_tokens` each row. A row that is continued n times counts n times
    towards `max_rows`. Ids of languages, token types and positions must be below `n_langs`, `n_types` and
    `n_positions`. `max_answer_bytes` limits the tensors of one answer; as JSON, each byte counts as five.
    """

    max_body_bytes: int
    max_rows: int
    max_tokens: int
    max_row_tokens: int
    vocab_size: int
    n_langs: int = 2**31
    n_types: int = 2**31
    n_positions: int = 2**31
    max_answer_bytes: int = 64 * 2**20

    @property
    def json(self) -> JsonBounds:
        """Limits of the JSON: enough for three nested padded tensors of the largest size, and some more."""
        n_cells = max(self.max_tokens, self.max_rows * self.max_row_tokens)
        return JsonBounds(max_values=3 * n_cells + 8192, max_nests=3 * self.max_rows + 1024)


def check_body_bytes(n_bytes: int, limits: CallLimits) -> None:
    """Raise TooLarge for a body of `n_bytes` bytes that exceeds the limit."""
    if n_bytes > limits.max_body_bytes:
        raise TooLarge(f"got a body of {n_bytes} bytes, at most {limits.max_body_bytes}")


def check_call(call: InferCall, limits: CallLimits) -> None:
    """Check that the shapes of a call agree and that its values are within the limits.

    Raises TooLarge beyond a size limit, Unprocessable for anything else that is wrong.
    """
    _check_rows(call, limits)
    _check_range("input_ids", call.input_ids, limits.vocab_size)
    _check_ids("lang_ids", call.lang_ids, call.n_tokens, limits.n_langs)
    _check_ids("token_type_ids", call.token_type_ids, call.n_tokens, limits.n_types)
    _check_ids("position_ids", call.position_ids, call.n_tokens, limits.n_positions)
    _check_positions(call)
    _check_fill_mask(call, limits)


def _check_rows(call: InferCall, limits: CallLimits) -> None:
    if len(call.row_lengths.shape) != 1 or len(call.input_ids.shape) != 1:
        raise Unprocessable(f"got row_lengths of shape {list(call.row_lengths.shape)}, expected [rows]")
    lengths = call.row_lengths.int_values().tolist()
    if not lengths:
        raise Unprocessable("got 0 rows, expected at least 1")
    if len(lengths) > limits.max_rows:
        raise TooLarge(f"got {len(lengths)} rows, at most {limits.max_rows}")
    n_sequences = 1 if call.sampling is None else call.sampling.num_return_sequences
    if len(lengths) * n_sequences > limits.max_rows:
        raise TooLarge(f"got {len(lengths)} rows of {n_sequences} sequences each, at most {limits.max_rows} together")
    if call.n_tokens > limits.max_tokens:
        raise TooLarge(f"got {call.n_tokens} tokens, at most {limits.max_tokens}")
    if min(lengths) < 1:
        raise Unprocessable(f"got row {lengths.index(min(lengths))} of {min(lengths)} tokens, expected at least 1")
    if max(lengths) > limits.max_row_tokens:
        row = lengths.index(max(lengths))
        raise TooLarge(f"got row {row} of {max(lengths)} tokens, at most {limits.max_row_tokens}")
    if sum(lengths) != call.n_tokens:
        raise Unprocessable(f"got row_lengths that sum to {sum(lengths)}, expected {call.n_tokens} as in input_ids")


def _check_ids(name: str, tensor: Tensor | None, n_tokens: int, end: int) -> None:
    """Check a tensor that has one id for each token. The ids must be below `end`."""
    if tensor is None:
        return
    if tensor.shape != (n_tokens,):
        raise Unprocessable(f"got {name} of shape {list(tensor.shape)}, expected [{n_tokens}]")
    _check_range(name, tensor, end)


def _check_range(name: str, tensor: Tensor, end: int) -> None:
    values = tensor.int_values().tolist()
    if values and not (min(values) >= 0 and max(values) < end):
        at = next(index for index, value in enumerate(values) if not 0 <= value < end)
        raise Unprocessable(f"got {values[at]} in {name} at {at}, expected 0 to {end - 1}")


def _check_positions(call: InferCall) -> None:
    if call.positions is None or call.positions_per_row is None:
        if call.positions is not call.positions_per_row:
            raise Unprocessable("got one of positions and positions_per_row, expected both or none")
        return
    if call.positions_per_row.shape != call.row_lengths.shape or len(call.positions.shape) != 1:
        raise Unprocessable(
            f"got positions {list(call.positions.shape)} and positions_per_row {list(call.positions_per_row.shape)}, "
            f"expected [positions] and [{call.n_rows}]"
        )
    positions, counts = call.positions.int_values(), call.positions_per_row.int_values()
    if min(counts) < 0 or sum(counts) != len(positions):
        raise Unprocessable(
            f"got positions_per_row that sum to {sum(counts)}, expected {len(positions)} as in positions"
        )
    start = first = 0
    for row, (length, count) in enumerate(zip(call.row_lengths.int_values(), counts, strict=True)):
        _check_row_positions(row, positions[first : first + count].tolist(), start, start + length)
        start, first = start + length, first + count


def _check_row_positions(row: int, positions: list[int], start: int, end: int) -> None:
    if positions and not (min(positions) >= start and max(positions) < end):
        wrong = next(position for position in positions if not start <= position < end)
        raise Unprocessable(f"got position {wrong} for row {row}, expected {start} to {end - 1}")
    if len(set(positions)) != len(positions):
        raise Unprocessable(f"row {row} names a position twice")


def _check_fill_mask(call: InferCall, limits: CallLimits) -> None:
    if call.top_k > limits.vocab_size:
        raise Unprocessable(f"got top_k {call.top_k}, at most the vocabulary of {limits.vocab_size}")
    if len(call.target_ids) > MAX_TARGETS:
        raise TooLarge(f"got {len(call.target_ids)} target_ids, at most {MAX_TARGETS}")
    if wrong := [target for target in call.target_ids if not 0 <= target < limits.vocab_size]:
        raise Unprocessable(f"got {wrong[0]} in target_ids, expected 0 to {limits.vocab_size - 1}")
    n_positions = 0 if call.positions is None else call.positions.shape[0]
    n_bytes = n_positions * (2 * call.top_k + len(call.target_ids)) * ITEM_BYTES["FP32"]
    if n_bytes > limits.max_answer_bytes:
        raise TooLarge(
            f"got {n_positions} positions with top_k {call.top_k} and {len(call.target_ids)} target_ids: an answer "
            f"of {n_bytes} bytes, at most {limits.max_answer_bytes}"
        )
