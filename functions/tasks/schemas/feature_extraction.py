"""Parameters of feature-extraction; knows nothing of models."""

from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field, Strict

from functions.tasks.task import Truncatable
from shared.messages import Pooling

MAX_LAYERS = 64


def _listed(value: object) -> object:
    return [value] if isinstance(value, int) else value


Layers = Annotated[
    tuple[Annotated[int, Field(ge=-999, le=999)], ...],
    Strict(strict=False),
    BeforeValidator(_listed),
    Field(max_length=MAX_LAYERS),
]


class Parameters(Truncatable):
    """A text gets one vector, or with `per_token` one for each of its tokens.

    `pooling` over all tokens, special ones included: their mean, their largest values (max), or the vector of the
    first token (cls). `normalize`: scale to length 1, at the end. With `layers` (0: what enters the first, -1: the
    last) or `attentions` the answer is an object: `vectors`, `hidden_states` for each layer asked, `attentions` for
    each layer, head, token and token. Long text: touching windows; means are averaged by the windows' tokens,
    the largest of all windows counts, cls is the first window's. Attentions are for texts of one window: at most
    16,384 pairs of tokens (the square of each text's) and 200,000 weights (times layers and heads) in one request.
    """

    sends: ClassVar[tuple[str, ...]] = ("per_token", "pooling", "layers", "attentions")

    pooling: Pooling = "mean"
    per_token: bool = False
    normalize: bool = False
    layers: Layers = ()
    attentions: bool = False
