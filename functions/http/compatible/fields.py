"""Types of fields that several ecosystems share, and how texts or token ids become texts.

Must not know routes or tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, Strict, WithJsonSchema
from pydantic.fields import FieldInfo

from functions.http.compatible.service import MAX_INPUTS
from functions.json_objects import JsonObject, with_null
from functions.pipeline.request_limits import MAX_IDS
from functions.pipeline.token_view import text_of
from functions.tokenizers.tokenizer import Tokenizer
from shared.catalog import Head, Model
from shared.error_text import kind, shown
from shared.errors import NotFound, TooLarge, Unprocessable
from shared.strict_json import whole, whole_numbers


def _foreign_schema(schema: dict[str, Any]) -> None:
    """Let the schema of a foreign body take null for all that may be left out, also by names that are not known."""
    with_null(schema)
    schema["additionalProperties"] = {"type": "null"}


class ForeignBody(JsonObject):
    """Base of every foreign body. A null counts as left out, whatever its name; clients send such fields."""

    model_config = ConfigDict(json_schema_extra=_foreign_schema)

    @classmethod
    def keeps_null(cls, name: str) -> bool:  # noqa: ARG003 - the base asks by name
        """No null is a value in a foreign body."""
        return False


def without_nulls(value: Mapping[str, object]) -> dict[str, object]:
    """Return the fields that are not null."""
    return {name: each for name, each in value.items() if each is not None}


Whole = Annotated[int, Strict(), BeforeValidator(whole)]  # of a list of lists, which the base does not read
Flag = Annotated[bool, Strict()]


def _no_number(value: object) -> object:
    """Return a value that is no number: Python takes 0 for false."""
    if type(value) in {int, float}:
        raise ValueError("false")
    return value


Never = Annotated[Literal[False], BeforeValidator(_no_number)]


def most(n_items: int) -> FieldInfo:
    """Return a field of one item or more, whose page says `n_items` at most. Above it the task says 413, not 422."""
    return Field(min_length=1, json_schema_extra={"maxItems": n_items})  # type: ignore[no-any-return] # pydantic says Any


ModelReference = Annotated[
    str, Strict(), Field(min_length=1, description="model or model:head; absent: the task's default")
]
Ignored = Annotated[object, Field(description="taken, and without effect here")]
_IDS = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1}
_TEXT = {"type": "string", "minLength": 1}
TextsOrIds = Annotated[
    object,
    WithJsonSchema(
        {
            "description": "a text, token ids of a text, or a list of either",
            "anyOf": [
                _TEXT,
                {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": MAX_INPUTS},
                _IDS,
                {"type": "array", "items": _IDS, "minItems": 1, "maxItems": MAX_INPUTS},
            ],
        }
    ),
]


def has_ids(value: object) -> bool:
    """Whether a value holds token ids instead of texts."""
    first = value[0] if isinstance(value, list) and value else None
    return is_id(first) or (isinstance(first, list) and (not first or is_id(first[0])))


def is_id(value: object) -> bool:
    """Whether a value is a number that could be a token id."""
    return isinstance(value, int) and not isinstance(value, bool)


def listed(value: object, where: str) -> tuple[list[object], bool]:
    """Return a text, ids or a list of either as a list, and whether it was a list. Raises Unprocessable, TooLarge."""
    value = whole_numbers(value)
    if isinstance(value, str) or (isinstance(value, list) and value and is_id(value[0])):
        return [value], False
    if not isinstance(value, list) or not value:
        found = "an empty list" if isinstance(value, list) else kind(value)
        raise Unprocessable(f"{where}: got {found}, expected a text, token ids, or a list of either")
    if len(value) > MAX_INPUTS:
        raise TooLarge(f"{where}: got {len(value)} inputs, at most {MAX_INPUTS} in one request")
    return value, True


def texts_of_ids(lists: Sequence[object], tokenizer: Tokenizer, where: str) -> list[str]:
    """Return the texts that lists of ids read as, special tokens left out.

    Ids of another tokenizer would read as another text, and nobody would notice. So a text that does not have exactly
    these ids is refused. Raises Unprocessable, TooLarge.
    """
    if (n_ids := sum(len(ids) for ids in lists if isinstance(ids, list))) > MAX_IDS:
        raise TooLarge(f"{where}: got {n_ids} ids, at most {MAX_IDS} in one request")
    layout = tokenizer.layout
    special = {*layout.first, *layout.middle, *layout.last}
    found = []
    for place, ids in enumerate(lists):
        at = f"{where}[{place}]"
        if not isinstance(ids, list) or not ids:
            raise Unprocessable(f"{at}: got {shown(ids)}, expected a list of token ids")
        text = text_of(ids, tokenizer, at, skip_special=True)
        if tokenizer.encode(text).ids != tuple(i for i in ids if i not in special):
            wanted = "ids that the tokenizer of the model makes of a text, as POST /v1/tokenize does"
            raise Unprocessable(
                f"{at}: got ids that read as a text with other ids, expected {wanted}; or send the text"
            )
        found.append(text)
    return found


def checked_head(model: Model, head: str) -> Head:
    """Return the facts of a head. Raises NotFound."""
    if head not in model.heads:
        raise NotFound(f"model {model.name} has no head {shown(head)}; heads: {sorted(model.heads)}")
    return model.heads[head]


def declared_prompt(names: Sequence[str], head: Head) -> str:
    """Return the first of these names by which a head declares a prompt, "" if it declares none of them.

    The default prompt may be that of queries, so it never stands before texts of another type.
    """
    return next((name for name in names if head.prompts.get(name)), "")


def parameters(**given: Any) -> dict[str, Any]:
    """Return the parameters of a task that a caller gave: those that are not None."""
    return without_nulls(given)
