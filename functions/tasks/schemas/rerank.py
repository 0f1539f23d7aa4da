"""Parameters of rerank; knows nothing of models."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from functions.tasks.task import Cut, InputFields, TextPair, Truncatable, beside
from shared.catalog import Head
from shared.errors import Unprocessable
from shared.messages import TextInput


class Parameters(Truncatable):
    """An input's documents are put in the order of how well they answer its query.

    The `top_n` best are returned (null: all), each with its index and, with `return_documents`, its text. A score is
    the sigmoid of the head's only logit, or the logit itself with `function_to_apply` none. Long documents: windows
    that overlap by an eighth, of which the best counts.
    """

    input_forms: ClassVar[tuple[InputFields, ...]] = (
        InputFields("query", texts="documents"),
        InputFields("query", texts="texts"),
    )
    cut: ClassVar[Cut] = "second"
    overlap: ClassVar[float] = 0.125

    top_n: Annotated[int, Field(ge=1, le=1000)] | None = None
    return_documents: bool = False
    function_to_apply: Literal["default", "none", "sigmoid"] = "default"

    def text_pairs(self, item: TextInput) -> Sequence[TextPair]:
        """Return the query beside each document."""
        return beside(item)

    def check_head(self, name: str, head: Head) -> None:
        """Raise Unprocessable when the head has more than one logit to rank by."""
        if len(head.labels) > 1:
            raise Unprocessable(f"head {name} has {len(head.labels)} labels, expected a head of one label to rank by")
