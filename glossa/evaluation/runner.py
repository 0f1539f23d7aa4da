"""Asks a model about the examples of each language, and measures its answers.

Is handed the function that asks, and one that is told of each record. Must not know engines, files or the command line.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from functions.messages import TextInput
from functions.pipeline.pipeline import Infer, Pipeline
from functions.tasks.parse import parse_parameters
from functions.tasks.task import TextRequest
from glossa.evaluation.examples import LanguageData
from glossa.evaluation.heads import Chosen
from glossa.evaluation.measures import Measure
from glossa.evaluation.results import Record, key_of, model_digest
from shared.catalog import EMBEDS
from shared.errors import NotFinite

INPUTS_AT_ONCE = 256
# They change the form of answers, so that they could not be measured
FORMS = ("aggregation_strategy", "attentions", "ignore_labels", "layers", "per_token", "precision", "stride", "top_k")
Ask = Callable[[Sequence[TextInput]], list[Any]]


@dataclass(frozen=True, slots=True)
class Run:
    """One data set measured with one head in one precision. `parameters` are the caller's, beside the measure's own."""

    dataset: str
    split: str
    measure: Measure
    chosen: Chosen
    compute_type: str
    parameters: Mapping[str, object]

    def __post_init__(self) -> None:
        """Check the caller's parameters. Raises ValueError, or GlossaError for one that the task does not have."""
        if changed := [name for name in self.parameters if name in FORMS]:
            raise ValueError(
                f"got --param {changed[0]}, expected none of {', '.join(FORMS)}: answers have one form here"
            )
        parse_parameters(self.measure.task, self.all_parameters)

    @property
    def all_parameters(self) -> dict[str, object]:
        """The parameters of the task."""
        return {**self.measure.parameters, **self.parameters}

    @property
    def model_digest(self) -> str:
        """The digest of all that the answers depend on, the data aside."""
        renamed = {label: gold for label, gold in self.chosen.gold.items() if label != gold}
        return model_digest(self.chosen.model, self.chosen.head, self.all_parameters, renamed)

    def key(self, data: LanguageData) -> str:
        """Return the key of the record of a language."""
        return key_of(self.dataset, data.lang, self.model_digest, data.digest)


def asking(run: Run, pipeline: Pipeline, infer: Infer) -> Ask:
    """Return a function that answers inputs in order, with None for those that the model cannot read or compute.

    It keeps the answers of the call before: the English side of a data set of translations is the same for each
    language.
    """
    parameters = parse_parameters(run.measure.task, run.all_parameters)
    kept: dict[TextInput, Any] = {}

    def answers(batch: Sequence[TextInput]) -> list[Any]:
        request = TextRequest(run.measure.task, tuple(batch), parameters, run.chosen.reference)
        try:
            result, errors = pipeline.run_valid_inputs(request, infer)
        except NotFinite:  # one of them overflows in this precision; halving finds it
            half = len(batch) // 2
            return [*answers(batch[:half]), *answers(batch[half:])] if half else [None]
        values = iter(result.values)
        return [None if i in errors else next(values) for i in range(len(batch))]

    def ask(inputs: Sequence[TextInput]) -> list[Any]:
        nonlocal kept
        new = [item for item in dict.fromkeys(inputs) if item not in kept]
        found = {item: kept[item] for item in inputs if item in kept}
        for at in range(0, len(new), INPUTS_AT_ONCE):
            batch = new[at : at + INPUTS_AT_ONCE]
            found |= zip(batch, answers(batch), strict=True)
        kept = found
        return [found[item] for item in inputs]

    return ask


def measure(
    run: Run, data: Sequence[LanguageData], known: Mapping[str, Record], ask: Callable[[], Ask]
) -> Iterator[Record]:
    """Yield the record of each language: that of `known` if it is there, else a new one.

    `ask()` is called for the first language that is not known; it loads the model. Raises GlossaError when the model
    fails.
    """
    asks: Ask | None = None
    for of in data:
        if (record := known.get(run.key(of))) is not None:
            yield record
            continue
        asks = asks or ask()
        yield _measured(run, of, asks)


def _measured(run: Run, data: LanguageData, ask: Ask) -> Record:
    began_s = time.perf_counter()
    answers = ask(in_language(run.measure.inputs(data.examples), run, data.lang))
    seconds = time.perf_counter() - began_s
    named = [_renamed(answer, run.chosen.gold) for answer in answers] if run.chosen.gold else answers
    return Record(
        run.dataset,
        run.split,
        data.lang,
        run.chosen.reference,
        run.compute_type,
        run.model_digest,
        data.digest,
        n_examples=len(data.examples),
        n_unanswered=sum(answer is None for answer in answers),
        scores=run.measure.score(data.examples, named, data.lang),
        baseline=run.measure.baseline(data.examples),
        seconds=round(seconds, 3),
    )


def in_language(inputs: Sequence[TextInput], run: Run, lang: str) -> list[TextInput]:
    """Return inputs that name their language, for models that read languages (XLM) and know it; else as they are.

    Vectors are asked without it, because the other side of a pair is in another language.
    """
    if lang not in run.chosen.model.lang2id or run.measure.task == EMBEDS:
        return list(inputs)
    return [replace(item, lang=lang) for item in inputs]


def _renamed(answer: Any, gold: Mapping[str, str]) -> Any:
    """Return labels by the names of the data."""
    return answer and [{**each, "label": gold.get(each["label"], each["label"])} for each in answer]
