"""Queue messages: only our own messages for a step are read, with names that are well formed."""

from __future__ import annotations

import pytest

from functions.jobs.state.queue_messages import QueueMessage, belongs_to, decode_message
from shared.errors import DecodeError

JOB, OTHER = "0" * 32, "1" * 32


@pytest.mark.parametrize("body", ["[", "3", "[" * 9999, "{}", f'{{"job": "{JOB}"}}'])
def test_a_foreign_body_belongs_to_no_job(body: str) -> None:
    """Only our own messages belong to a job, and only to the job that they name."""
    assert not belongs_to(body, JOB)
    assert belongs_to(QueueMessage("work", "local", JOB).encode(), JOB)
    assert not belongs_to(QueueMessage("work", "local", OTHER).encode(), JOB)


@pytest.mark.parametrize(
    "body",
    [{}, [], "x", None, {"glossa": "plan", "tenant": "local", "job": JOB},
     {"glossa": "work", "tenant": "local", "job": JOB},
     {"glossa": "work", "tenant": "../x", "job": JOB, "shard": "00000000-0123456789ab"},
     {"glossa": "work", "tenant": "local", "job": "x", "shard": "00000000-0123456789ab"},
     {"glossa": "work", "tenant": "local", "job": JOB, "shard": "0"}],
)  # fmt: skip
def test_foreign_messages_are_refused(body: object) -> None:
    """A message for another step, or with malformed names, is refused before anything is read."""
    with pytest.raises(DecodeError):
        decode_message(body, "work")
