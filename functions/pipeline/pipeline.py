"""The three desks around the one effect that is handed in: tokenize, route, (infer), assemble.

Must not know who infers, nor HTTP, AWS or files.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from functions.pipeline.assemble import assemble
from functions.pipeline.route import calls, route
from functions.pipeline.tokenize import tokenize, tokenize_valid_inputs
from functions.tokenizers.tokenizer import Tokenizer
from shared.catalog import Catalog, Model
from shared.errors import GlossaError
from shared.messages import InferCall, ModelOutput, Result, Route, TextRequest, Tokenized

Infer = Callable[[Sequence[InferCall]], list[ModelOutput]]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """All desks over one catalog and the tokenizers of its models.

    `now_s` is the clock of the requests' deadlines. `speed` says how many tokens per second the server of a model
    measures, None where nobody knows. Raises ValueError when a tokenizer has ids that its model has not.
    """

    catalog: Catalog
    tokenizers: Mapping[str, Tokenizer]
    now_s: Callable[[], float] = field(default=time.monotonic)
    speed: Callable[[str], float | None] = field(default=lambda _: None)

    def __post_init__(self) -> None:
        """Check each tokenizer against its model."""
        for name, tokenizer in self.tokenizers.items():
            if tokenizer.vocab_size > (limit := self.catalog.model(name).vocab_size):
                raise ValueError(f"{name}: got a tokenizer of {tokenizer.vocab_size} ids, the model has {limit}")

    def run(self, request: TextRequest, infer: Infer) -> Result:
        """Answer a whole request. Raises GlossaError; the first bad input fails all."""
        began_s = self.now_s()
        routed = route(request, self.catalog)
        model, tokenizer = self._held(routed)
        routed_s = self.now_s()
        tokenized = tokenize(request, model, routed.head, tokenizer)
        return self._answer(request, routed, tokenized, infer, (began_s, routed_s, self.now_s()))

    def run_valid_inputs(self, request: TextRequest, infer: Infer) -> tuple[Result, dict[int, GlossaError]]:
        """Answer the inputs that can be tokenized: their result in order, and the others' errors by index.

        Raises GlossaError when the request as a whole is at fault, or `infer` is.
        """
        began_s = self.now_s()
        routed = route(request, self.catalog)
        model, tokenizer = self._held(routed)
        routed_s = self.now_s()
        tokenized, errors = tokenize_valid_inputs(request, model, routed.head, tokenizer)
        good = replace(request, inputs=tuple(item for i, item in enumerate(request.inputs) if i not in errors))
        return self._answer(good, routed, tokenized, infer, (began_s, routed_s, self.now_s())), errors

    def _held(self, routed: Route) -> tuple[Model, Tokenizer]:
        return self.catalog.model(routed.model), self.tokenizers[routed.model]

    def _answer(
        self,
        request: TextRequest,
        routed: Route,
        tokenized: Tokenized,
        infer: Infer,
        marks: tuple[float, float, float],
    ) -> Result:
        began_s, routed_s, tokenized_s = marks
        model, tokenizer = self._held(routed)
        asked = calls(request, routed, tokenized, model, now_s=tokenized_s, speed=lambda: self.speed(model.name))
        asked_s = self.now_s()
        outputs = infer(asked) if asked else []
        inferred_s = self.now_s()
        result = assemble(request, model, routed, tokenized, outputs, tokenizer)
        queue_s = max((answer.timings_s.get("queue", 0.0) for answer in outputs), default=0.0)
        timings_s = {
            "tokenize": tokenized_s - routed_s,
            "route": (routed_s - began_s) + (asked_s - tokenized_s),
            "queue": queue_s,
            "infer": max(0.0, inferred_s - asked_s - queue_s),
            "assemble": self.now_s() - inferred_s,
        }
        return replace(result, timings_s=timings_s)
