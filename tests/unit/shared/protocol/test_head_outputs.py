"""The lists of what each head answers with and reads."""

from __future__ import annotations

from dataclasses import fields
from typing import get_args

import pytest

from shared.catalog import Head, HeadTask
from shared.messages import InferCall
from shared.protocol.head_outputs import CALL_FIELDS, head_outputs, per_token_outputs


@pytest.mark.parametrize("task", get_args(HeadTask))
def test_every_head_has_outputs_with_names_of_their_own(task: HeadTask) -> None:
    """No head without outputs, and no output twice."""
    names = [output.name for output in head_outputs(Head(task=task))]
    assert names
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("head", "always", "per_token"),
    [
        (Head(task="text-classification"), set(), set()),
        (Head(task="token-classification"), {"logits"}, {"logits"}),
        (Head(task="question-answering"), {"start", "end"}, {"start", "end"}),
        (Head(task="question-answering", variant="beam"), set(), set()),
        (Head(task="feature-extraction"), set(), {"vectors", "hidden_states"}),
        (Head(task="fill-mask"), set(), set()),
        (Head(task="text-generation"), set(), set()),
    ],
    ids=lambda value: f"{value.task}{value.variant}" if isinstance(value, Head) else "",
)
def test_outputs_for_each_token_are_known(head: Head, always: set[str], per_token: set[str]) -> None:
    """These outputs are padded when the request was padded; vectors only when the call asks for one a token."""
    assert per_token_outputs(head, per_token=False) == always
    assert per_token_outputs(head, per_token=True) == per_token


def test_fields_of_a_head_are_fields_of_a_call_and_belong_to_one_task() -> None:
    """Each field has one owner, so that a head of another task can refuse it by name."""
    owned = [name for names in CALL_FIELDS.values() for name in names]
    assert set(owned) < {field.name for field in fields(InferCall)}
    assert len(set(owned)) == len(owned)
