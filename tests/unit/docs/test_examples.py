"""Examples of pages that are no commands: the check of a webhook in docs/batch.md."""

from __future__ import annotations

import time

import pytest

from functions.jobs.state.webhooks import sign
from tests.unit.docs.blocks import blocks_of

SECRET = "a-secret-of-the-tests"
BODY = b'{"state": "SUCCEEDED"}'


@pytest.mark.parametrize(
    ("secret", "body", "age_s", "good"),
    [
        (SECRET, BODY, 0, True),
        ("another-secret-of-the-tests", BODY, 0, False),
        (SECRET, b"{}", 0, False),
        (SECRET, BODY, 3600, False),
    ],
    ids=["ours", "another secret", "another body", "an old one"],
)
def test_the_signature_of_a_webhook_is_checked(secret: str, body: bytes, age_s: int, *, good: bool) -> None:
    """A signature of this secret and body, from now, is good; every other one is not."""
    (block,) = [block for block in blocks_of("docs/batch.md") if block.run_by == "tests/unit/docs/test_examples.py"]
    header = sign(secret, body, int(time.time()) - age_s)
    names = {"header": header, "body": BODY, "secret": SECRET.encode()}
    exec("import hmac, time\n" + block.text, names)  # noqa: S102 - the text of our own page
    assert names["good"] is good
