"""How records become inputs of a task, and what an error row says of its record."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from functions.jobs.records.formats import Format, FormatOptions, Problem
from functions.jobs.records.records import Record, parse, split_records
from functions.jobs.state.items import JobSpec
from functions.jobs.steps.work.answer_records import answer_all, send_probe
from functions.messages import Result, TextInput
from functions.tasks.parse import parse_parameters
from functions.tasks.task import TextRequest
from shared.errors import GlossaError, Unprocessable


def test_an_error_row_speaks_of_its_record_not_of_a_place_in_a_call() -> None:
    """The pipeline names an input by its position in the call, which the caller never saw. The row says "record"."""

    def respond(request: TextRequest) -> tuple[Result, Mapping[int, GlossaError]]:
        if len(request.inputs) == 1:
            raise Unprocessable("inputs[0]: got 65 masks, expected at most 64")
        nothing = Result((), "mini", "mlm", (), (), ())
        return nothing, {i: Unprocessable(f"inputs[{i}]: got no mask, expected one") for i in (0, 1)}

    def details(*records: Record) -> list[str]:
        spec = JobSpec("fill-mask", "mini:mlm", {}, FormatOptions())
        found = answer_all(records, spec, reference="mini:mlm", tenant="local", deadline_s=1.0, respond=respond)
        return [problem.detail for problem in found.values() if isinstance(problem, Problem)]

    assert details(Record(0, 0, 5, "a"), Record(1, 5, 9, "b")) == ["record: got no mask, expected one"] * 2
    assert details(Record(0, 0, 5, "a")) == ["record: got 65 masks, expected at most 64"]


@pytest.mark.parametrize(
    ("task", "line", "expected"),
    [
        (
            "question-answering",
            '{"id": 1, "question": "q", "context": "c", "lang": ["de", "en"]}',
            TextInput("q", "c", (), "de", "en"),
        ),
        ("multiple-choice", '{"text": "t", "choices": ["a", "b"], "seen": 3}', TextInput("t", None, ("a", "b"))),
        ("rerank", '{"query": "q", "documents": ["a"]}', TextInput("q", None, ("a",))),
        ("text-classification", '{"text": "t", "text_pair": "p", "lang": "sw"}', TextInput("t", "p", (), "sw")),
        ("text-classification", '{"text": "t", "label": "ignored"}', TextInput("t")),
        ("text-generation", '{"prompt": "p", "note": null}', TextInput("p")),
        ("question-answering", '{"text": "only a question"}', "record: got no"),
        ("text-classification", '{"question": "q"}', "record: got no"),
    ],
)
def test_a_line_is_an_input_of_its_task(task: str, line: str, expected: TextInput | str) -> None:
    """A JSON line uses the names of its task, with its languages. Other fields are left out."""
    file_format = Format("jsonl", gzip=False, options=FormatOptions())
    [span] = split_records([line.encode()], file_format)
    seen: list[TextInput] = []

    def respond(request: TextRequest) -> tuple[Result, Mapping[int, GlossaError]]:
        seen.extend(request.inputs)
        return Result(("answer",), "m", "h", (1,), (False,), (1,)), {}

    record = parse(span, file_format)
    spec = JobSpec(task, "m", {}, FormatOptions())
    [found] = answer_all([record], spec, reference="m", tenant="local", deadline_s=1.0, respond=respond).values()
    if isinstance(expected, TextInput):
        assert seen == [expected]
    else:
        assert isinstance(found, Problem)
        assert found.detail.startswith(expected)


def test_a_job_may_name_its_text_otherwise() -> None:
    """The job's own name of the text field holds for every task that has a text."""
    file_format = Format("jsonl", gzip=False, options=FormatOptions(text_field="body"))
    [span] = split_records([b'{"body": "t", "choices": ["a"]}'], file_format)
    record = parse(span, file_format)
    assert (record.text, record.fields) == ("t", {"text": "t", "choices": ["a"]})


def test_a_stored_parameter_that_the_task_no_longer_takes_is_an_error_of_each_record() -> None:
    """A job may be older than its task: every record then gets the reason as its error, and no call is made."""

    def respond(request: TextRequest) -> tuple[Result, Mapping[int, GlossaError]]:
        raise AssertionError(f"got a call of {len(request.inputs)} inputs, expected none")

    spec = JobSpec("text-classification", "m", {"top_k": 1, "gone": True}, FormatOptions())
    records = [Record(0, 0, 5, "a"), Record(1, 5, 9, "b")]
    found = answer_all(records, spec, reference="m", tenant="local", deadline_s=1.0, respond=respond)
    assert [problem.code for problem in found.values() if isinstance(problem, Problem)] == ["unprocessable"] * 2
    assert all("unknown parameter 'gone'" in str(problem) for problem in found.values())


def test_a_probe_sends_the_required_parameters_alone() -> None:
    """A parameter that the task no longer takes does not keep a probe from being answered."""
    seen: list[TextRequest] = []

    def respond(request: TextRequest) -> tuple[Result, Mapping[int, GlossaError]]:
        seen.append(request)
        return Result(("answer",), "m", "h", (1,), (False,), (1,)), {}

    parameters = {"candidate_labels": ["x"], "multi_label": True, "gone": 1}
    send_probe(JobSpec("zero-shot-classification", "m", parameters, FormatOptions()), "m", "local", 1.0, respond)
    assert seen[0].parameters == parse_parameters("zero-shot-classification", {"candidate_labels": ["x"]})
