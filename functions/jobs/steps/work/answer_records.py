"""Answers records in calls that are as large as possible. A record that cannot be answered fails alone.

Pure, except for `respond` and the health check, which are given. Must not know shards, stores or HTTP.
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
from functions.tasks.parse import input_names, parse_input, parse_parameters, parse_required_parameters
from functions.tasks.task import TextRequest
from shared.errors import BadRequest, GlossaError, TooLarge, Unprocessable

Respond = Callable[[TextRequest], tuple[Result, Mapping[int, GlossaError]]]
RECORD_ERRORS = (BadRequest, TooLarge, Unprocessable)  # errors that the content of a record can cause
INPUT_POSITION = re.compile(r"^inputs\[[0-9]+\]")  # within one call; the owner of a record never sees it
PROBE_TEXT = "<mask>"  # every task accepts this text, and every model reads it as few tokens


def answer_all(
    records: Sequence[Record],
    spec: JobSpec,
    *,
    reference: str,
    tenant: str,
    deadline_s: float,
    respond: Respond,
    health_check: ServerHealthCheck | None = None,
    split_first: bool = False,
) -> dict[int, Answer | Problem]:
    """Answer records that have no problem of their own. Returns an answer or a problem for each, by record number.

    A call that is refused for its content is split in halves until the record that causes it is alone. With a
    `health_check`, a call that it blames is split too. A single record gets a problem when it breaks the server twice.
    `split_first` splits the first call before it is made, when an earlier run has seen the whole call fail.
    Raises every other error that `respond` raises: no record caused it.
    """
    inputs, outcomes = _inputs(records, spec.task)
    try:
        parameters = parse_parameters(spec.task, spec.parameters)
    except RECORD_ERRORS as error:  # the job was made when the task took them
        return outcomes | dict.fromkeys(inputs, _problem(error))
    request = TextRequest(
        task=spec.task,
        inputs=(),
        parameters=parameters,
        model=reference,
        tenant=tenant,
        priority="batch",
        deadline_s=deadline_s,
    )
    size_bytes = {record.index_in_object: record.end - record.start for record in records}
    total_bytes = sum(size_bytes[index] for index in inputs) or 1
    waiting = _groups(list(inputs), split=split_first)
    suspects: set[int] = set()
    if health_check is not None and inputs:
        health_check.require_answer()
    while waiting:
        group = waiting.pop()
        try:
            share = sum(size_bytes[index] for index in group) / total_bytes
            call_deadline_s = health_check.call_deadline_s(share) if health_check else deadline_s
            timed = replace(request, deadline_s=call_deadline_s)
            outcomes |= _call(timed, {index: inputs[index] for index in group}, respond)
        except GlossaError as error:
            blamed = _is_to_blame(error, health_check)
            if len(group) > 1 and blamed:
                waiting += _groups(group, split=True)
            elif blamed and (isinstance(error, RECORD_ERRORS) or group[0] in suspects):
                outcomes[group[0]] = _problem(error)
            else:
                suspects |= set(group) if blamed else set()
                waiting.append(group)
    return outcomes


def _groups(indices: list[int], *, split: bool) -> list[list[int]]:
    """Return records as one call, or as two halves. The first half comes last, as the last call is made first."""
    middle = len(indices) // 2
    groups = [indices[middle:], indices[:middle]] if split else [indices]
    return [group for group in groups if group]


def send_probe(spec: JobSpec, reference: str, tenant: str, deadline_s: float, respond: Respond) -> None:
    """Have one short input answered by the model and head of a job. Raises GlossaError when it is not answered."""
    parameters = parse_required_parameters(spec.task, spec.parameters)
    item = parameters.input_forms[0].smallest(PROBE_TEXT)
    request = TextRequest(spec.task, (item,), parameters, reference, tenant, "interactive", deadline_s)
    result, errors = respond(request)
    if errors or len(result.values) != 1:
        raise GlossaError(f"got {len(result.values)} answers to a probe. This is a bug.")


def _is_to_blame(error: GlossaError, health_check: ServerHealthCheck | None) -> bool:
    """Whether the records of a failed call are to blame. Raises the error when that cannot be told."""
    if isinstance(error, RECORD_ERRORS):
        return True
    if health_check is None:
        raise error
    return health_check.blames_call(error)


def _problem(error: GlossaError) -> Problem:
    return Problem(error.code, INPUT_POSITION.sub("record", error.message))


def _inputs(records: Sequence[Record], task: str) -> tuple[dict[int, TextInput], dict[int, Answer | Problem]]:
    inputs: dict[int, TextInput] = {}
    problems: dict[int, Answer | Problem] = {}
    for record in records:
        try:
            inputs[record.index_in_object] = parse_input(_task_fields(record, task), "record", task)
        except RECORD_ERRORS as error:
            problems[record.index_in_object] = Problem(error.code, error.message)
    return inputs, problems


def _task_fields(record: Record, task: str) -> object:
    """Return a record's fields under the names that the task gives its inputs. Other fields are left out."""
    known = input_names(task)
    chosen = {name: part for name, part in record.fields.items() if name in known}
    if record.text is not None and (not chosen or record.text_pair is not None):
        chosen |= {"text": record.text, "text_pair": record.text_pair}
    return chosen


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
