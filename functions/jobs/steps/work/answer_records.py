"""Records -> answers, in the largest calls that work; a record that cannot be answered fails alone.

Pure but for `respond` and the watch, which are handed in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from functions.jobs.records.formats import Problem
from functions.jobs.records.records import Record
from functions.jobs.records.result_rows import Answer
from functions.jobs.state.items import JobSpec
from functions.jobs.steps.work.server_health import ServerHealthCheck
from functions.messages import Result, TextInput
from functions.tasks.registry import input_names, parse_input, parse_parameters
from functions.tasks.task import TextRequest
from shared.errors import BadRequest, GlossaError, TooLarge, Unprocessable

Respond = Callable[[TextRequest], tuple[Result, Mapping[int, GlossaError]]]
OWN_FAULTS = (BadRequest, TooLarge, Unprocessable)  # what a record can be guilty of
PLACE = re.compile(r"^inputs\[[0-9]+\]")  # an input's place in one call, which the owner of a record never saw
HARMLESS = "<mask>"  # a text that every task takes, and every model reads as a token or a few


def answer_all(
    records: Sequence[Record],
    spec: JobSpec,
    *,
    reference: str,
    tenant: str,
    deadline_s: float,
    respond: Respond,
    watch: ServerHealthCheck | None = None,
    halved: bool = False,
) -> dict[int, Answer | Problem]:
    """Answer records without problems of their own; returns answer or problem by record index.

    A call refused for its content is halved until the guilty record is alone; with a `watch`, so is
    a call that it blames, and a record alone is convicted when it breaks the server a second time. With
    `halved` the first call is halved before it is made: of the whole it is known what becomes.
    Raises what is nobody's fault here: GlossaError of other kinds, and whatever else `respond` raises.
    """
    request = TextRequest(
        task=spec.task,
        inputs=(),
        parameters=parse_parameters(spec.task, spec.parameters),
        model=reference,
        tenant=tenant,
        priority="batch",
        deadline_s=deadline_s,
    )
    inputs, outcomes = _inputs(records, spec.task)
    size = {record.index: record.end - record.start for record in records}
    whole = sum(size[index] for index in inputs) or 1
    waiting = _groups(list(inputs), halved=halved)
    suspects: set[int] = set()
    if watch is not None and inputs:
        watch.begin()
    while waiting:
        group = waiting.pop()
        try:
            until_s = watch.until(sum(size[index] for index in group) / whole) if watch else deadline_s
            timed = replace(request, deadline_s=until_s)
            outcomes |= _call(timed, {index: inputs[index] for index in group}, respond)
        except GlossaError as error:
            blamed = _is_to_blame(error, watch)
            if len(group) > 1 and blamed:
                waiting += _groups(group, halved=True)
            elif blamed and (isinstance(error, OWN_FAULTS) or group[0] in suspects):
                outcomes[group[0]] = _problem(error)
            else:
                suspects |= set(group) if blamed else set()
                waiting.append(group)
    return outcomes


def _groups(indices: list[int], *, halved: bool) -> list[list[int]]:
    """Return records as one call, or as two halves of which the first is last, as it is taken first."""
    middle = len(indices) // 2
    groups = [indices[middle:], indices[:middle]] if halved else [indices]
    return [group for group in groups if group]


def ask_harmless(spec: JobSpec, reference: str, tenant: str, deadline_s: float, respond: Respond) -> None:
    """Have one short input answered by the model and head of a job. Raises GlossaError when it is not."""
    parameters = parse_parameters(spec.task, spec.parameters).with_required_only()
    item = parameters.input_forms[0].smallest(HARMLESS)
    request = TextRequest(spec.task, (item,), parameters, reference, tenant, "interactive", deadline_s)
    result, errors = respond(request)
    if errors or len(result.values) != 1:
        raise GlossaError(f"got {len(result.values)} answers to a harmless question. This is a bug.")


def _is_to_blame(error: GlossaError, watch: ServerHealthCheck | None) -> bool:
    """Whether a failed call's records are to blame. Raises the error when that is nobody's to say."""
    if isinstance(error, OWN_FAULTS):
        return True
    if watch is None:
        raise error
    return watch.blames_call(error)


def _problem(error: GlossaError) -> Problem:
    return Problem(error.code, PLACE.sub("record", error.message))


def _inputs(records: Sequence[Record], task: str) -> tuple[dict[int, TextInput], dict[int, Answer | Problem]]:
    inputs: dict[int, TextInput] = {}
    problems: dict[int, Answer | Problem] = {}
    for record in records:
        try:
            inputs[record.index] = parse_input(_asked(record, task), "record", task)
        except OWN_FAULTS as error:
            problems[record.index] = Problem(error.code, error.message)
    return inputs, problems


def _asked(record: Record, task: str) -> object:
    """Return what a record asks in the task's own names; fields that no input has are passed over."""
    known = input_names(task)
    asked = {name: part for name, part in record.fields.items() if name in known}
    if record.text is not None and (not asked or record.text_pair is not None):
        asked |= {"text": record.text, "text_pair": record.text_pair}
    return asked


def _call(request: TextRequest, inputs: Mapping[int, TextInput], respond: Respond) -> dict[int, Answer | Problem]:
    result, errors = respond(replace(request, inputs=tuple(inputs.values())))
    indices = list(inputs)
    outcomes: dict[int, Answer | Problem] = {indices[i]: _problem(error) for i, error in errors.items()}
    answered = [index for i, index in enumerate(indices) if i not in errors]
    if len(answered) != len(result.values):
        raise GlossaError(f"got {len(result.values)} answers to {len(answered)} records. This is a bug.")
    for at, index in enumerate(answered):
        outcomes[index] = Answer(result.values[at], result.n_windows[at], result.n_tokens[at], result.truncated[at])
    return outcomes
