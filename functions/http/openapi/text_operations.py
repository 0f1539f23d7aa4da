"""What the synchronous routes take and answer, for the OpenAPI page. Bodies are derived from the tasks' parameters.

Requests are checked by the tasks, not by these classes. Tests check that both agree. Must not know a pipeline or a
model.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Union

from pydantic import BaseModel, ConfigDict, Field, create_model

from functions.http.openapi.page import Operation
from functions.pipeline.request_limits import MAX_IDS, REQUEST_LIMITS
from functions.tasks.parse import MAX_LANG_CHARS, MAX_TEXTS
from functions.tasks.registry import TASKS
from functions.tasks.task import InputFields, TaskParameters

Text = Annotated[str, Field(min_length=1, max_length=REQUEST_LIMITS.max_chars)]
Lang = Annotated[str, Field(min_length=1, max_length=MAX_LANG_CHARS, description="a language of the model")]
ModelName = Annotated[str | None, Field(min_length=1, description="model or model:head; absent: the task's default")]
Langs = Lang | Annotated[list[Lang], Field(min_length=2, max_length=2, description="of the text, of what is beside it")]


class Usage(BaseModel):
    """What was done to each input, in the inputs' order."""

    n_tokens: list[int]
    n_windows: list[int]
    truncated: list[bool]


class Answer(BaseModel):
    """One result per input; its shape is the one of the transformers pipeline of the task."""

    model: str
    head: str
    task: str
    results: list[Any]
    usage: Usage
    timings_ms: dict[str, float]


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


def _task_body(task: str, parameters: type[TaskParameters]) -> type[BaseModel]:
    name = "".join(word.title() for word in task.split("-"))
    renamed = create_model(f"{name}Parameters", __base__=parameters, __doc__=parameters.__doc__)
    needed = any(field.is_required() for field in parameters.model_fields.values())
    items = [
        item for i, fields in enumerate(parameters.input_forms) for item in _items(f"{name}Input{i or ''}", fields)
    ]
    plain = [Text] if parameters.input_forms[0].plain else []
    return _body(name, [*plain, *items], parameters=(renamed, ...) if needed else (renamed | None, None))


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


OPERATIONS = (
    *(
        Operation("POST", f"/v1/{name}", f"Do {name} over texts", _task_body(name, task.parameters), Answer)
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
    ),
    Operation("POST", "/v1/detokenize", "Texts of tokens, as a model writes them", DetokenizeBody, TextsAnswer),
    Operation("GET", "/v1/models", "Models there are, their tasks, heads and labels"),
    Operation("GET", "/v1/models/<name>", "One model"),
    Operation("GET", "/v1/health", "Whether the model server takes requests"),
    Operation("GET", "/v1/openapi.json", "This page"),
    Operation("GET", "/v2", "The model server, in the Open Inference Protocol v2 as all routes below"),
    Operation("GET", "/v2/health/live", "Whether the model server is live"),
    Operation("GET", "/v2/health/ready", "Whether every model is ready"),
    Operation("POST", "/v2/repository/index", "Models with their states", answer=list[dict[str, Any]]),
    *(
        operation
        for path in ("/v2/models/<model>", "/v2/models/<model>/versions/<version>")
        for operation in (
            Operation("GET", path, "Inputs, outputs, heads and limits of a model"),
            Operation("GET", f"{path}/ready", "Whether a model is ready"),
            Operation("GET", f"{path}/stats", "Statistics of a model"),
            Operation("POST", f"{path}/infer", "Tensors to tensors, as JSON or with binary data"),
        )
    ),
)
