"""What both sides agree on: the call to a replica, its answer, and the tensors in both.

Frozen data. Must not know how any stage works, nor any library: a tensor is little-endian bytes with a shape, so that
neither side needs numpy.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal, get_args

from shared.limits import DEFAULT_TOP_K

Datatype = Literal["INT32", "FP32"]
Priority = Literal["interactive", "batch"]
Pooling = Literal["mean", "cls", "max"]
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)
DEFAULT_POOLING: Pooling = "mean"

ITEM_BYTES: Mapping[str, int] = {"INT32": 4, "FP32": 4}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A dense little-endian tensor: `data` holds prod(shape) items of `datatype`, row-major."""

    datatype: Datatype
    shape: tuple[int, ...]
    data: memoryview[int]

    @classmethod
    def ints(cls, values: Iterable[int], shape: Sequence[int] | None = None) -> Tensor:
        """Make an INT32 tensor; `shape` defaults to one dimension. Raises OverflowError past int32."""
        return cls._of("INT32", array("i", values), shape)

    @classmethod
    def floats(cls, values: Iterable[float], shape: Sequence[int] | None = None) -> Tensor:
        """Make an FP32 tensor; `shape` defaults to one dimension."""
        return cls._of("FP32", array("f", values), shape)

    @classmethod
    def _of(cls, datatype: Datatype, values: array[int] | array[float], shape: Sequence[int] | None) -> Tensor:
        if sys.byteorder != "little":  # the wire is little-endian
            values.byteswap()
        view = memoryview(values).cast("B").toreadonly()
        return cls(datatype, tuple(shape) if shape is not None else (len(values),), view)

    def int_values(self) -> memoryview[int]:
        """Return an INT32 tensor's items as a flat view; slices copy nothing. Raises TypeError on FP32."""
        if self.datatype != "INT32":
            raise TypeError(f"got a {self.datatype} tensor, expected INT32. This is a bug.")
        return self.data.cast("i")

    def float_values(self) -> memoryview[float]:
        """Return an FP32 tensor's items as a flat view; slices copy nothing. Raises TypeError on INT32."""
        if self.datatype != "FP32":
            raise TypeError(f"got a {self.datatype} tensor, expected FP32. This is a bug.")
        return self.data.cast("f")

    def tobytes(self) -> bytes:
        """Return the raw little-endian bytes."""
        return self.data.tobytes()

    def __eq__(self, other: object) -> bool:
        """Compare datatype, shape and bytes."""
        if not isinstance(other, Tensor):
            return NotImplemented
        return (self.datatype, self.shape, self.tobytes()) == (other.datatype, other.shape, other.tobytes())

    def __hash__(self) -> int:
        """Hash of datatype, shape and bytes."""
        return hash((self.datatype, self.shape, self.tobytes()))


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a generating head continues each row, named as `transformers` GenerationConfig names it.

    Greedy unless `do_sample`. `top_k` 0 and `top_p` 1.0 switch these filters off. With the same `seed`, a row has the
    same continuation, whatever rows are in its batches.
    """

    max_new_tokens: int = 20
    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = 50
    top_p: float = 1.0
    num_return_sequences: int = 1
    seed: int = 0


def tenant_hash(tenant: str) -> str:
    """Return a short hash that stands for a tenant in logs and in calls to the model server."""
    return sha256(tenant.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class InferCall:
    """One call to a replica. Its rows are packed one after the other, without padding.

    Tensors, all INT32:
    - `input_ids` [tokens], and `row_lengths` [rows], whose sum is the number of tokens.
    - `positions` [n]: indices into the packed stream that the head reads (masks), with `positions_per_row` [rows].
    - `lang_ids`, `token_type_ids`, `position_ids` [tokens].

    Fill-mask: `top_k` guesses for each mask, and the logits of the vocabulary ids in `target_ids`. Embeddings:
    `pooling`, `per_token`, `normalize`, the `layers` to return (0: embeddings, 1: after the first layer, negative from
    the end, empty: the last alone), and whether to return `attentions`. Generating heads read `sampling`.

    `fingerprint` is "" when the caller does not know it, as other clients of the protocol. `timeout_s` is the time
    that was left when the call was sent.
    """

    model: str
    head: str
    input_ids: Tensor
    row_lengths: Tensor
    positions: Tensor | None = None
    positions_per_row: Tensor | None = None
    lang_ids: Tensor | None = None
    top_k: int = DEFAULT_TOP_K
    target_ids: tuple[int, ...] = ()
    per_token: bool = False
    normalize: bool = False
    token_type_ids: Tensor | None = None
    position_ids: Tensor | None = None
    pooling: Pooling = DEFAULT_POOLING
    layers: tuple[int, ...] = ()
    attentions: bool = False
    sampling: Sampling | None = None
    priority: Priority = "interactive"
    tenant_hash: str = ""
    fingerprint: str = ""
    timeout_s: float | None = None

    @property
    def n_tokens(self) -> int:
        """Tokens over all rows."""
        return self.input_ids.shape[0]

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self.row_lengths.shape[0]


@dataclass(frozen=True, slots=True)
class ModelOutput:
    """What a replica answers: named tensors, packed like the input, and the seconds of `queue` and `infer`.

    FP32 unless said, by the head's task:
    - text-classification: `logits` [rows, labels]. token-classification: `logits` [tokens, labels].
    - multiple-choice: `logits` [rows, 1].
    - question-answering: `start` and `end` [tokens]. With a beam: `start_top_log_probs`, `start_top_index`,
      `end_top_log_probs` and `end_top_index` [rows, n], and `cls_logits` [rows], named as in the reference.
    - fill-mask: `top_ids` INT32 and `top_logits` [masks, k], `log_sum_exp` [masks]; with targets `target_logits`
      [masks, targets].
    - feature-extraction: `vectors` [rows, width], or [tokens, width] per token. With `layers`: `hidden_states` [rows or
      tokens, layers, width]. With `attentions`: `attentions` [n], where each row has its [layers, heads, tokens,
      tokens] flattened, and `attention_sizes` INT32 [rows, layers], how many of them each layer has. With variant
      sparse: `token_weights` [tokens], none below 0.
    - text-generation: `ids` INT32 [tokens], the new ones alone, and `row_lengths` INT32 [rows * sequences].
    """

    outputs: Mapping[str, Tensor]
    timings_s: Mapping[str, float] = field(default_factory=dict)
