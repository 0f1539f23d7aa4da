"""Parameters of token-classification; knows nothing of models."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from functions.pipeline.schemas.parameters import Cutting, Strings


class Parameters(Cutting):
    """Every token gets a label; tokens of one entity are grouped under `simple`.

    Entities whose label is in `ignore_labels` are left out. Long text: windows that overlap by an
    eighth; each token is judged by the window in which it stands most centrally.
    """

    overlap: ClassVar[float] = 0.125

    aggregation_strategy: Literal["none", "simple"] = "simple"
    ignore_labels: Annotated[Strings, Field(max_length=256)] = ("O",)
