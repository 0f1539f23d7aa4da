"""Parameters of feature-extraction; knows nothing of models."""

from typing import Literal

from functions.pipeline.schemas.parameters import Cutting


class Parameters(Cutting):
    """A text gets one vector, or with `per_token` one for each of its tokens.

    `pooling` mean: over all tokens, special ones included. `normalize`: scale to length 1, at the
    end. Long text: touching windows, vectors averaged by their tokens.
    """

    pooling: Literal["mean"] = "mean"
    per_token: bool = False
    normalize: bool = False
