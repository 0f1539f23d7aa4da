"""Examples of pages that are no commands: the check of a webhook in docs/batch.md."""

from __future__ import annotations

import time

import pytest

from functions.jobs.state.webhooks import sign
from tests.unit.docs.blocks import blocks_of

SECRET = "a-secret-of-the-tests"
BODY = b'{"state": "SUCCEEDED"}'
NOW_S = int(time.time())


@pytest.mark.parametrize(
    ("header", "good"),
    [
        (sign(SECRET, BODY, NOW_S), True),
        (sign("another-secret-of-the-tests", BODY, NOW_S), False),
        (sign(SECRET, b"{}", NOW_S), False),
        (sign(SECRET, BODY, NOW_S - 3600), False),
    ],
    ids=["ours", "another secret", "another body", "an old one"],
)
def test_the_signature_of_a_webhook_is_checked(header: str, good: bool) -> None:  # noqa: FBT001 - what is expected
    """A signature of this secret and body, from now, is good; every other one is not."""
    (block,) = [block for block in blocks_of("docs/batch.md") if block.run_by == "tests/unit/docs/test_examples.py"]
    names = {"header": header, "body": BODY, "secret": SECRET.encode()}
    exec("import hmac, time\n" + block.text, names)  # noqa: S102 - the text of our own page
    assert names["good"] is good
