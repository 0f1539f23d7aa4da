"""What the synchronous routes take and answer, for the OpenAPI page. Bodies are derived from the tasks' parameters.

Requests are checked by the tasks, not by these classes. Tests check that both agree. Must not know a pipeline or a
model.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel, ConfigDict, Field, create_model

from functions.http.openapi.examples import DETOKENIZE, TASK_BODIES, TOKENIZE
from functions.http.openapi.model_answers import Health, ModelFacts, ModelsAnswer
from functions.http.openapi.operation import Operation, Reference
from functions.http.openapi.problems import ModelsProblem
from functions.pipeline.request_limits import MAX_IDS, REQUEST_LIMITS
from functions.tasks.parse import MAX_LANG_CHARS, MAX_TEXTS
from functions.tasks.registry import TASKS
from functions.tasks.task import InputFields, TaskParameters

Text = Annotated[str, Field(min_length=1, max_length=REQUEST_LIMITS.max_chars)]
Lang = Annotated[str, Field(min_length=1, max_length=MAX_LANG_CHARS, description="a language of the model")]
ModelName = Annotated[str | None, Field(min_length=1, description="model or model:head; absent: the task's default")]
Fallback = Annotated[
    Literal["never", "allow"] | None,
    Field(description="allow: the smaller model that the catalog names may answer while the model cannot"),
]
Langs = Lang | Annotated[list[Lang], Field(min_length=2, max_length=2, description="of the text, of what is beside it")]


class Usage(BaseModel):
    """What was done to each input, in the inputs' order."""

    n_tokens: list[int]
    n_windows: list[int]
    truncated: list[bool]


class Answer(BaseModel):
    """One result per input, as the transformers pipeline of the task makes it."""

    model: str
    head: str
    task: str
    results: list[Any]
    usage: Usage
    timings_ms: dict[str, float] = Field(description="milliseconds of each stage")


class Tokens(BaseModel):
    """The tokens of one input, special ones included unless left out; offsets are half-open, in code points.

    `n_windows` is how many windows a classifier would read of it, null when it would refuse the pair.
    """

    ids: list[int]
    tokens: list[str]
    offsets: list[tuple[int, int]]
    special_tokens_mask: list[int]
    token_type_ids: list[int]
    count: int
    n_windows: int | None


class TokensAnswer(BaseModel):
    """The tokens of each input."""

    model: str
    results: list[Tokens]


Ids = Annotated[list[Annotated[int, Field(ge=0, strict=True)]], Field(max_length=MAX_IDS)]


class DetokenizeBody(BaseModel):
    """Ids of one text, or of several."""

    model_config = ConfigDict(extra="forbid")
    ids: Ids | Annotated[list[Ids], Field(min_length=1, max_length=REQUEST_LIMITS.max_inputs)]
    model: ModelName = None
    skip_special_tokens: Annotated[bool | None, Field(strict=True, description="absent: false")] = None


class OneText(BaseModel):
    """The text that one list of ids reads as."""

    text: str


class TextsAnswer(BaseModel):
    """The text of each list of ids."""

    model: str
    results: list[OneText]


def _task_answer(name: str, value: Any) -> type[BaseModel]:
    title = "".join(word.title() for word in name.split("-"))
    fields: Any = {"task": (Literal[name], ...), "results": (list[value], ...)}
    made: type[BaseModel] = create_model(f"{title}Answer", __base__=Answer, __doc__=Answer.__doc__, **fields)
    return made


def _task_body(task: str, parameters: type[TaskParameters]) -> type[BaseModel]:
    name = "".join(word.title() for word in task.split("-"))
    renamed = create_model(f"{name}Parameters", __base__=parameters, __doc__=parameters.__doc__)
    needed = any(field.is_required() for field in parameters.model_fields.values())
    items = [
        item for i, fields in enumerate(parameters.input_forms) for item in _items(f"{name}Input{i or ''}", fields)
    ]
    plain = [Text] if parameters.input_forms[0].plain else []
    return _body(
        name,
        [*plain, *items],
        parameters=(renamed, ...) if needed else (renamed | None, None),
        fallback=(Fallback, None),
    )


def _items(name: str, fields: InputFields) -> Iterator[type[BaseModel]]:
    """Yield the objects that one input form allows: a text alone, if that is enough, and a text with others."""
    if fields.texts is not None:
        texts = Annotated[list[Text], Field(min_length=1, max_length=MAX_TEXTS)]
        yield _item(name, {fields.text: (Text, ...), fields.texts: (texts, ...), "lang": (Langs | None, None)})
        return
    if fields.pair is not None:
        pair = {fields.text: (Text, ...), fields.pair: (Text, ...), "lang": (Langs | None, None)}
        yield _item(f"{name}Pair" if not fields.needs_pair else name, pair)
    if not fields.needs_pair:
        yield _item(name, {fields.text: (Text, ...), "lang": (Lang | None, None)})


def _item(name: str, fields: dict[str, Any]) -> type[BaseModel]:
    fields = {"text_pair": (None, None)} | fields  # null where a task has no pairs, because records may have the field
    made: type[BaseModel] = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
    return made


def _body(name: str, items: Sequence[Any], **more: Any) -> type[BaseModel]:
    one: Any = Union[tuple(items)]  # noqa: UP007 - made of a list
    many: Any = Annotated[list[one], Field(min_length=1, max_length=REQUEST_LIMITS.max_inputs)]
    fields: Any = {"inputs": (one | many, ...), "model": (ModelName, None), **more}
    made: type[BaseModel] = create_model(f"{name}Body", __config__=ConfigDict(extra="forbid"), **fields)
    return made


_READS_MODELS = {"name": Reference}
OPERATIONS = (
    *(
        Operation(
            "POST",
            f"/v1/{name}",
            f"Do {name} over texts",
            _task_body(name, task.parameters),
            _task_answer(name, task.value),
            examples=TASK_BODIES[name],
            refusals=(404, 409),
        )
        for name, task in TASKS.items()
    ),
    Operation(
        "POST",
        "/v1/tokenize",
        "Tokens of texts, as a model reads them",
        _body(
            "Tokenize",
            [Text, *_items("TokenizeInput", InputFields(pair="text_pair"))],
            add_special_tokens=(Annotated[bool | None, Field(strict=True, description="absent: true")], None),
        ),
        TokensAnswer,
        examples=TOKENIZE,
        refusals=(404,),
    ),
    Operation(
        "POST",
        "/v1/detokenize",
        "Texts of tokens, as a model writes them",
        DetokenizeBody,
        TextsAnswer,
        examples=DETOKENIZE,
        refusals=(404,),
    ),
    Operation(
        "GET", "/v1/models", "Models there are, their tasks, heads and labels", None, ModelsAnswer, error=ModelsProblem
    ),
    Operation(
        "GET", "/v1/models/<name>", "One model", None, ModelFacts, error=ModelsProblem, path_parameters=_READS_MODELS
    ),
    Operation("GET", "/v1/health", "Whether the model server takes requests", None, Health, checks_query=False),
    Operation("GET", "/v1/openapi.json", "This document", checks_query=False),
    Operation("GET", "/openapi.json", "This document, where tools look for it", checks_query=False),
)
