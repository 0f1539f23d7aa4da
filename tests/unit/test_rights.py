"""Tests of what the tests of the roles stand on: the evaluator of policies, the mutations, and the recording."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.rights.calls import from_json, to_json
from tests.rights.mutations import narrowed, widened
from tests.rights.policy import Call, allows
from tests.rights.recording import read_calls

ALLOW = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": "arn:aws:s3:::b/t/*/jobs/*"}
GET = Call("R", "s3:GetObject", "arn:aws:s3:::b/t/a/jobs/1")


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ([], False),
        ([ALLOW], True),
        ([{**ALLOW, "Action": "s3:Get*"}], True),
        ([{**ALLOW, "Action": "s3:PutObject"}], False),
        ([{**ALLOW, "Resource": "arn:aws:s3:::b/u/*"}], False),
        ([ALLOW, {**ALLOW, "Effect": "Deny"}], False),
        ([ALLOW, {**ALLOW, "Effect": "Deny", "Action": "s3:PutObject"}], True),
    ],
)
def test_a_denial_wins_and_silence_refuses(statements: list[dict[str, Any]], *, expected: bool) -> None:
    """A call needs a statement that allows it, and none that denies it."""
    assert allows(statements, GET) is expected


@pytest.mark.parametrize(
    ("condition", "values", "expected"),
    [
        ({"StringEquals": {"k": "a"}}, ("a",), True),
        ({"StringEquals": {"k": ["a", "b"]}}, ("b",), True),
        ({"StringEquals": {"k": "a"}}, ("b",), False),
        ({"StringEquals": {"k": "a"}}, None, False),
        ({"StringLike": {"k": "t/*/x"}}, ("t/1/x",), True),
        ({"StringLike": {"k": "t/*/x"}}, ("t/1/y",), False),
        ({"ForAllValues:StringLike": {"k": ["t/*"]}}, ("t/1", "t/2"), True),
        ({"ForAllValues:StringLike": {"k": ["t/*"]}}, ("t/1", "u/2"), False),
        ({"ForAllValues:StringLike": {"k": ["t/*"]}}, None, True),
        ({"Null": {"k": "true"}}, None, True),
        ({"Null": {"k": "false"}}, None, False),
        ({"StringEquals": {"k": "a"}, "Null": {"other": "false"}}, ("a",), False),
    ],
)
def test_all_conditions_must_be_met(condition: Any, values: tuple[str, ...] | None, *, expected: bool) -> None:
    """A missing key meets only ForAllValues and Null, and one value of a list is enough."""
    call = Call("R", GET.action, GET.resource, {} if values is None else {"k": values})
    assert allows([{**ALLOW, "Condition": condition}], call) is expected


def test_an_operator_that_it_does_not_know_is_an_error() -> None:
    """A condition that would be skipped could make a grant look narrower than it is."""
    with pytest.raises(ValueError, match="got the operator NumericLessThan"):
        allows([{**ALLOW, "Condition": {"NumericLessThan": {"k": "1"}}}], GET)


def test_faults_take_one_thing_away_or_make_one_thing_wider() -> None:
    """Each part of a statement has its own faults."""
    statement = {**ALLOW, "Condition": {"StringLike": {"k": ["a/*/c", "b"]}}}
    assert [name for name, _ in narrowed(statement)] == [
        "dropped", "without s3:GetObject", "without s3:PutObject", "without k a/*/c", "without k b",
    ]  # fmt: skip
    assert [name for name, _ in widened(statement)] == [
        "every resource", "arn:aws:s3:::b/t/* for arn:aws:s3:::b/t/*/jobs/*", "without k", "a/* for a/*/c in k",
    ]  # fmt: skip


def test_a_recording_has_the_same_names_in_every_run(tmp_path: Path) -> None:
    """Physical ids become logical ids, and ids of jobs and shards become one made-up id."""
    lines = [
        {
            "role": "glossa-WorkRole-1", "action": "s3:PutObject", "allowed": True, "context": {"s3:max-keys": "1"},
            "resource": f"arn:aws:s3:::glossa-out-1/t/local/jobs/{job}/parts/0000000{n}-0123456789ab{ending}",
        }
        for n, (job, ending) in enumerate([("0123456789abcdef" * 2, ".r1.jsonl"), ("fedcba9876543210" * 2, ".csv")])
    ]  # fmt: skip
    file = tmp_path / "calls.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    names = {"glossa-WorkRole-1": "WorkRole", "glossa-out-1": "OutputBucket"}
    (call,) = read_calls(file, names)
    part = f"t/local/jobs/{'0' * 32}/parts/00000000-{'0' * 12}.jsonl"
    assert call == Call("WorkRole", "s3:PutObject", f"arn:aws:s3:::OutputBucket/{part}")
    assert from_json(json.loads(to_json([call]))) == [call]


def test_a_refused_call_ends_the_recording(tmp_path: Path) -> None:
    """A recording of refused calls would show what a function wants, not what it can do."""
    file = tmp_path / "calls.jsonl"
    line = {"role": "r", "action": "s3:PutObject", "resource": "*", "context": {}, "allowed": False}
    file.write_text(json.dumps(line) + "\n", encoding="utf-8")
    with pytest.raises(PermissionError, match="1 calls were refused"):
        read_calls(file, {"r": "R"})
