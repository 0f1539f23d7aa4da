"""The whole path of a request, in one function: route -> tokenize -> pack_calls -> infer -> assemble.

Two effects are handed in: `infer`, and `speed`, which pack_calls asks about large requests. Must not know who infers,
nor HTTP, AWS or files.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from functions.messages import Result
from functions.pipeline.assemble import assemble
from functions.pipeline.pack_calls import pack_calls
from functions.pipeline.route import route
from functions.pipeline.tokenize import tokenize
from functions.tasks.task import TextRequest
from functions.tokenizers.tokenizer import Tokenizer
from shared.catalog import Catalog
from shared.errors import GlossaError
from shared.messages import InferCall, ModelOutput

Infer = Callable[[Sequence[InferCall]], list[ModelOutput]]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """All stages over one catalog and the tokenizers of its models.

    `now_s` is the clock of the requests' deadlines. `speed` returns how many tokens per second the server of a model
    measures, or None. Raises ValueError when a tokenizer has ids that its model does not have.
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
        """Answer a whole request. Raises GlossaError; the first bad input fails the request."""
        return self._run(request, infer, allow_errors=False)[0]

    def run_valid_inputs(self, request: TextRequest, infer: Infer) -> tuple[Result, Mapping[int, GlossaError]]:
        """Answer the inputs that can be tokenized. Return their result, and the other inputs' errors by index.

        Raises GlossaError when the request as a whole is wrong, or when `infer` fails.
        """
        return self._run(request, infer, allow_errors=True)

    def _run(
        self, request: TextRequest, infer: Infer, *, allow_errors: bool
    ) -> tuple[Result, Mapping[int, GlossaError]]:
        times_s = [self.now_s()]
        chosen = route(request, self.catalog)
        model, tokenizer = self.catalog.model(chosen.model), self.tokenizers[chosen.model]
        request = replace(request, parameters=request.parameters.for_head(model.heads[chosen.head]))
        times_s.append(self.now_s())
        tokenized = tokenize(request, model, tokenizer)
        if (errors := tokenized.errors) and not allow_errors:
            raise errors[min(errors)]
        if errors:
            request = replace(request, inputs=tuple(item for i, item in enumerate(request.inputs) if i not in errors))
        times_s.append(self.now_s())
        calls = pack_calls(request, chosen, tokenized, model, now_s=times_s[-1], speed=lambda: self.speed(chosen.model))
        times_s.append(self.now_s())
        outputs = infer(calls) if calls else []
        times_s.append(self.now_s())
        result = assemble(request, chosen, tokenized, outputs, model, tokenizer)
        times_s.append(self.now_s())
        return replace(result, timings_s=_timings_s(times_s, outputs)), errors


def _timings_s(times_s: Sequence[float], outputs: Sequence[ModelOutput]) -> dict[str, float]:
    """Return the seconds of each stage, from the times between stages. The queue's time is taken out of `infer`'s."""
    began_s, routed_s, tokenized_s, packed_s, inferred_s, assembled_s = times_s
    queue_s = max((output.timings_s.get("queue", 0.0) for output in outputs), default=0.0)
    return {
        "tokenize": tokenized_s - routed_s,
        "route": (routed_s - began_s) + (packed_s - tokenized_s),
        "queue": queue_s,
        "infer": max(0.0, inferred_s - packed_s - queue_s),
        "assemble": assembled_s - inferred_s,
    }
