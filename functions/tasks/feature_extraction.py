"""Turns a text into one vector, or into one vector for each token; hidden states and attentions on request.

Must not know how texts become tokens.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, ClassVar, NotRequired, Self

from pydantic import BeforeValidator, Field, PrivateAttr, Strict
from typing_extensions import TypedDict

from functions.messages import TextInput, Window
from functions.tasks.postprocessing.output_rows import (
    Answer,
    AnswerContext,
    Counted,
    RowsPerWindow,
    Vector,
)
from functions.tasks.postprocessing.scores import pool, unit
from functions.tasks.postprocessing.vectors import Precision, quantized, shorten
from functions.tasks.task import Assembler, ReadsVectors, Task
from shared.catalog import Head
from shared.errors import Unprocessable
from shared.limits import MAX_LAYERS
from shared.messages import DEFAULT_POOLING


def _listed(value: object) -> object:
    return [value] if isinstance(value, int) else value


Layers = Annotated[
    tuple[Annotated[int, Field(ge=-999, le=999)], ...],
    Strict(strict=False),
    BeforeValidator(_listed),
    Field(max_length=MAX_LAYERS),
]


MAX_WIDTH = 16_384  # of a vector; no model of these families is wider
OF_VECTORS = ("pooling", "per_token", "normalize", "layers", "attentions", "dimensions", "precision")


class Parameters(ReadsVectors):
    """Turns a text into one vector, or with `per_token` into one vector for each of its tokens.

    `pooling` makes one vector of all tokens, special ones included: their mean, their largest values (max), or the
    vector of the first token (cls). `dimensions` keeps the first numbers of a vector, as Matryoshka models are trained
    for; then `normalize` scales vectors to length 1. Without them, text vectors are pooled, cut and scaled as the
    checkpoint declares; else they are means, whole and not scaled. `prompt_name` puts a prompt that the checkpoint
    declares before the text ("" for none).

    `precision` other than float32 makes the answer an object: `vectors`, `precision` and `dimensions`. int8 is 127
    times the vector at length 1, rounded half to even; uint8 is 128 more. ubinary has a bit for each number, 1 if it is
    above 0, eight in a byte, the first the highest, zeros at the end; binary is 128 less. Ranges measured on your own
    vectors give a finer int8: ask for float32 then.

    A sparse head answers with `token_id`, `token` and `weight` of each token instead, the heaviest first; a token that
    occurs several times has its largest weight.

    `layers` (0: what enters the first layer, -1: the last) or `attentions` make the answer an object: `vectors`,
    `hidden_states` of each layer, which only `normalize` itself scales, and `attentions` of each layer, head, token
    and token. A long text is read in
    adjacent windows without overlap. Means of windows are averaged, weighted by their tokens; of max, the largest
    values count; cls is taken from the first window. Attentions need texts that fit in one window. One request may ask
    for at most 16,384 pairs of tokens and 200,000 attention weights (pairs times layers times heads).
    """

    call_fields: ClassVar[tuple[str, ...]] = ("per_token", "pooling", "layers", "attentions")

    per_token: bool = False
    normalize: bool | None = None
    layers: Layers = ()
    attentions: bool = False
    dimensions: Annotated[int, Field(ge=1, le=MAX_WIDTH)] | None = None
    precision: Precision = "float32"
    _scales_states: bool = PrivateAttr(default=False)  # hidden states have length 1 on request alone
    _cuts_states: int | None = PrivateAttr(default=None)  # and as many numbers as the request says

    @property
    def answers_per_token(self) -> bool:
        """Whether the answer holds a vector for each token, and so grows with the text."""
        return self.per_token

    @property
    def of_states(self) -> Self:
        """The parameters by which hidden states are read."""
        return self.model_copy(update={"normalize": self._scales_states, "dimensions": self._cuts_states})

    def check_head(self, name: str, head: Head) -> None:
        """Raise Unprocessable for an unknown prompt, or when a sparse head is asked for what only vectors have."""
        super().check_head(name, head)
        if head.variant != "sparse":
            return
        fields = type(self).model_fields
        if asked := [of for of in OF_VECTORS if getattr(self, of) != fields[of].default]:
            found = f"parameters.{asked[0]}: got {getattr(self, asked[0])!r} for head {name}"
            raise Unprocessable(f"{found}, expected none: its answer is one weight for each token")

    def for_head(self, head: Head) -> Self:
        """Return the parameters with what the head declares. Tokens and layers are changed on request alone."""
        declared = head.normalize and not self.per_token
        normalize = declared if self.normalize is None else self.normalize
        dimensions = self.dimensions or (None if self.per_token else head.dimensions)
        found = super().for_head(head).model_copy(update={"normalize": normalize, "dimensions": dimensions})
        found._scales_states = bool(self.normalize)  # noqa: SLF001 - a copy of itself
        found._cuts_states = self.dimensions  # noqa: SLF001 - a copy of itself
        return found


MAX_WEIGHTS = 200_000  # of attention in one request; at 24 bytes of JSON each, they fit in an answer of 5 MB
Finished = list[float] | list[int]


class Weight(TypedDict):
    """The weight of a token, of a sparse head."""

    token_id: int
    token: str
    weight: float


class Vectors(TypedDict):
    """The vector of a text, or those of its tokens, with what else was asked for.

    `hidden_states` has one of both for each layer. `attentions` are [layers][heads][tokens][tokens].
    """

    vectors: Finished | list[Finished]
    precision: NotRequired[Precision]
    dimensions: NotRequired[int]
    hidden_states: NotRequired[list[Finished | list[Finished]]]
    attentions: NotRequired[list[list[list[list[float]]]]]


Value = Finished | list[Finished] | Vectors


def outputs(parameters: Parameters, target_ids: Sequence[int]) -> Mapping[str, RowsPerWindow]:
    """Name the tensors to read: `vectors`, `hidden_states` and `attentions`, as far as they are wanted."""
    del target_ids
    unit: RowsPerWindow = "token" if parameters.per_token else 1
    read: dict[str, RowsPerWindow] = {"vectors": unit}
    if parameters.layers:
        read["hidden_states"] = unit
    if parameters.attentions:
        read |= {"attention_sizes": 1, "attentions": Counted("attention_sizes", MAX_WEIGHTS)}
    return read


def value(
    context: AnswerContext[Parameters], item: TextInput, windows: Sequence[Window], answers: Sequence[Answer]
) -> Value:
    """Return the vector of a text, or those of its tokens; an object with them if layers or attentions are wanted.

    Per token, a long text is answered as one window: special tokens appear only at its two ends.
    """
    del item
    wanted = context.parameters
    vectors = _read(wanted, windows, [answer["vectors"] for answer in answers])
    if not wanted.layers and not wanted.attentions and wanted.precision == "float32":
        return vectors
    found: Vectors = {"vectors": vectors}
    if wanted.precision != "float32":
        found["precision"], found["dimensions"] = wanted.precision, wanted.dimensions or _width(answers)
    if wanted.layers:
        of_layers = [_layers(answer["hidden_states"], len(wanted.layers)) for answer in answers]
        found["hidden_states"] = [_read(wanted.of_states, windows, rows) for rows in zip(*of_layers, strict=True)]
    if wanted.attentions:
        found["attentions"] = _attentions(len(windows[0].input_ids), answers[0])
    return found


def _read(wanted: Parameters, windows: Sequence[Window], rows: Sequence[Sequence[Vector]]) -> Finished | list[Finished]:
    """Return the vectors of one layer. `rows` are those of each window."""
    if wanted.per_token:
        return [_finish(wanted, vector) for vector in _of_tokens(windows, rows)]
    return _finish(wanted, pool(windows, [own[0] for own in rows], wanted.pooling or DEFAULT_POOLING))


def _finish(wanted: Parameters, vector: Vector) -> Finished:
    short = shorten(vector, wanted.dimensions)
    return quantized(unit(short) if wanted.normalize else list(short), wanted.precision)


def _width(answers: Sequence[Answer]) -> int:
    return len(answers[0]["vectors"][0])


def _of_tokens(windows: Sequence[Window], rows: Sequence[Sequence[Vector]]) -> Iterator[Vector]:
    last = len(windows) - 1
    for i, (window, own) in enumerate(zip(windows, rows, strict=True)):
        content = [k for k, special in enumerate(window.special) if not special]
        start = 0 if i == 0 else content[0]
        stop = len(window.special) if i == last else content[-1] + 1
        yield from own[start:stop]


def _layers(rows: Sequence[Vector], n_layers: int) -> list[list[Vector]]:
    """Split rows of [layers x width] numbers: return the rows of each layer."""
    width = len(rows[0]) // n_layers
    return [[row[k * width : (k + 1) * width] for row in rows] for k in range(n_layers)]


def _attentions(n_tokens: int, answer: Answer) -> list[list[list[Vector]]]:
    """Return [layers][heads][tokens][tokens] of the only window of a text."""
    flat = [weight for [weight] in answer["attentions"]]
    tokens = [flat[at : at + n_tokens] for at in range(0, len(flat), n_tokens)]
    heads = [tokens[at : at + n_tokens] for at in range(0, len(tokens), n_tokens)]
    n_heads = len(heads) // len(answer["attention_sizes"][0])
    return [heads[at : at + n_heads] for at in range(0, len(heads), n_heads)]


TASK = Task("feature-extraction", Parameters, Value | list[Weight], Assembler(outputs, value))
