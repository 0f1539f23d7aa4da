"""The client reads names of files as the service does. `test_part_files.py` tests its CSV beside the writer of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.jobs.state import keys
from glossa.client.jobs.rows import name_of

JOB = "0" * 32


@pytest.mark.parametrize(
    "key",
    [f"t/local/jobs/{JOB}/input/a b/c.csv", "t/local/data/2026/x.txt", "t/local/inbox/topics/é.txt",
     "t/local/inbox/T/a",
     f"t/local/jobs/{JOB}/input/", "t/local/inbox/topics/", "other", "t/local/inbox/topics//", "t/local/inbox/a/b\n"],
)  # fmt: skip
def test_a_name_is_that_of_the_service(key: str) -> None:
    """Uploads, inboxes and data have the name that their owner gave; any other key stays as it is."""
    assert name_of(key) == keys.name_of(key)


@given(st.lists(st.sampled_from(["t", "local", "inbox", "jobs", JOB, "input", "data", "a", "", "A", "\n"]), max_size=7))
def test_a_name_of_any_key_is_that_of_the_service(parts: list[str]) -> None:
    """No key is read in another way."""
    assert name_of("/".join(parts)) == keys.name_of("/".join(parts))
