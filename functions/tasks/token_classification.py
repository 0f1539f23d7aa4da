"""Labels the tokens of a text, and groups them into entities as the pipeline of transformers does.

Where windows overlap, each token is judged by the window in which it stands most centrally. With a `stride`,
windows are made and merged as that pipeline does it. Must not know how texts become tokens.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from functions.messages import TextInput, Window
from functions.tasks.postprocessing import graphemes
from functions.tasks.postprocessing.entities import Tagged, Token, best, entities, without_overlaps
from functions.tasks.postprocessing.graphemes import is_break, is_space
from functions.tasks.postprocessing.output_rows import Answer, AnswerContext, RowsPerWindow, Vector
from functions.tasks.postprocessing.scores import softmax
from functions.tasks.task import Assembler, Strings, Task, Truncatable
from shared.errors import ReplicaError


class Parameters(Truncatable):
    """Gives every token a label, and groups the tokens of one entity.

    `aggregation_strategy`: `simple` groups tokens of one tag. `first`, `average` and `max` first give all tokens of a
    word one label: that of its first token, of their mean scores, or of its surest token. A word is a run without
    white space of any kind. `none` groups nothing. No entity begins or ends inside a character as a person sees it,
    goes on over a line break or a tab, is without a word, or overlaps another. Entities whose label is in
    `ignore_labels` are left out: `O` is the label of that name, not `B-O`. A long text is read in windows that overlap
    by an eighth. Each token gets its label from the window in which it is most central. With `stride`, windows are
    full and share that many tokens, and their entities are merged. This is how transformers does it; an entity may
    then begin inside a word.
    """

    overlap: ClassVar[float] = 0.125

    aggregation_strategy: Literal["none", "simple", "first", "average", "max"] = "simple"
    ignore_labels: Annotated[Strings, Field(max_length=256)] = ("O",)
    stride: Annotated[int, Field(ge=0, le=4096)] | None = None

    @field_validator("stride")
    @classmethod
    def _with_groups(cls, value: int | None, info: ValidationInfo) -> int | None:
        """Refuse what transformers refuses: windows whose overlap is merged by groups, without groups."""
        if value is not None and info.data.get("aggregation_strategy") == "none":
            raise PydanticCustomError("stride", "no stride beside aggregation_strategy none")
        return value

    @property
    def shared_tokens(self) -> int | None:
        """How many tokens the caller wants windows to share."""
        return self.stride


class Entity(TypedDict):
    """A group of tokens. `start` and `end` are its place in the text, in code points."""

    entity_group: str
    score: float
    word: str
    start: int
    end: int


class LabelledToken(TypedDict):
    """A token, where nothing is grouped. `index` is its place among the tokens of the text."""

    entity: str
    score: float
    index: int
    word: str
    start: int
    end: int


def outputs(parameters: Parameters, target_ids: Sequence[int]) -> Mapping[str, RowsPerWindow]:
    """Name the tensor to read: `logits` [tokens, labels]."""
    del parameters, target_ids
    return {"logits": "token"}


def value(
    context: AnswerContext[Parameters], item: TextInput, windows: Sequence[Window], answers: Sequence[Answer]
) -> list[LabelledToken] | list[Entity]:
    """Return tokens (`none`) or entities (any other strategy) in text order, without the ignored labels."""
    text, labels = item.text, context.head.labels
    strategy, ignored = context.parameters.aggregation_strategy, set(context.parameters.ignore_labels)
    if context.parameters.stride is None:
        runs = [_central_tokens(context, text, windows, answers)]
    else:
        runs = [_tokens(context, text, *pair) for pair in zip(windows, answers, strict=True)]
    if strategy == "none":
        judged = (_token(labels, token) for run in runs for token in run)
        return [token for token in judged if token["entity"] not in ignored]
    clusters = graphemes.Clusters(text)
    join = context.tokenizer.join
    found = [entity for run in runs for entity in entities(clusters, run, labels, strategy, join, ignored)]
    return [_entity(entity) for entity in without_overlaps(found)]


def borders(windows: Sequence[Window], text: str = "") -> list[int]:
    """Return up to which content token of the text each window decides the labels. It is amid each overlap.

    It is the place nearest the middle where a word begins. In scripts without spaces, it is the nearest place that
    splits no letter; if there is none, the middle.
    """
    ends = []
    for window, after in pairwise(windows):
        stop = window.start + window.n_content_tokens
        middle = (after.start + stop) // 2
        n_first = _n_first(after)
        places = range(after.start + 1, stop)
        spans = {place: after.offsets[n_first + place - after.start] for place in range(after.start, stop)}
        words = [place for place in places if spans[place][0] > spans[place - 1][1]]
        letters = [place for place in places if not graphemes.inside(text, spans[place][0])]
        ends.append(min(words or letters, key=lambda place: abs(place - middle), default=middle))
    return [*ends, windows[-1].start + windows[-1].n_content_tokens]


def _n_first(window: Window) -> int:
    return window.special.index(False)


def _central_tokens(
    context: AnswerContext[Parameters], text: str, windows: Sequence[Window], answers: Sequence[Answer]
) -> list[Token]:
    """Return the tokens of the whole text, each from the window that decides its label."""
    tokens: list[Token] = []
    for window, answer, end in zip(windows, answers, borders(windows, text), strict=True):
        tokens += _tokens(context, text, window, answer, len(tokens), end)
    return tokens


def _tokens(
    context: AnswerContext[Parameters],
    text: str,
    window: Window,
    answer: Answer,
    begin: int | None = None,
    end: int = -1,
) -> list[Token]:
    """Return the content tokens [begin, end) of the text from a window; without `begin`, all that it holds."""
    if begin is None:
        begin, end = window.start, window.start + window.n_content_tokens
    shift = _n_first(window) - window.start
    places = range(begin + shift, end + shift)
    pieces = context.tokenizer.pieces(window.input_ids[at] for at in places)
    return [
        _token_at(context, text, window, at, piece, answer["logits"][at])
        for at, piece in zip(places, pieces, strict=True)
    ]


def _token_at(
    context: AnswerContext[Parameters], text: str, window: Window, at: int, piece: str, logits: Vector
) -> Token:
    start, end = window.offsets[at]
    end_before = start if at == 0 or window.special[at - 1] else window.offsets[at - 1][1]
    unknown = window.input_ids[at] == context.tokenizer.unk_id
    near = text[max(0, min(end_before, start - 1)) : start + 1]
    return Token(
        word=text[start:end] if unknown else piece,
        scores=_scores(context.head.labels, logits),
        index=window.start + at,
        start=start,
        end=end,
        subword=not unknown and start > 0 and not any(map(is_space, near)),
        bound=graphemes.inside(text, start),
        breaks=any(map(is_break, text[end_before : start + 1])),
    )


def _scores(labels: Sequence[str], logits: Vector) -> Vector:
    if len(labels) != len(logits):
        raise ReplicaError(
            f"got {len(logits)} logits from the model server, expected {len(labels)}, one for each label"
        )
    return softmax(logits)


def _token(labels: Sequence[str], token: Token) -> LabelledToken:
    label, score = best(labels, token.scores)
    return {
        "entity": label,
        "score": score,
        "index": token.index,
        "word": token.word,
        "start": token.start,
        "end": token.end,
    }


def _entity(entity: Tagged) -> Entity:
    return {
        "entity_group": entity.label,
        "score": entity.score,
        "word": entity.word,
        "start": entity.start,
        "end": entity.end,
    }


TASK = Task("token-classification", Parameters, list[Entity] | list[LabelledToken], Assembler(outputs, value))
