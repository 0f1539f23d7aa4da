"""What a failed call means, beside what the tests of the client show of it."""

from __future__ import annotations

from functions.replica.failures import NoReply
from shared.errors import BY_CODE, BY_STATUS


def test_a_missing_reply_does_not_replace_the_general_error_of_its_code() -> None:
    """NoReply shares code and status with DeadlineExceeded, and stands in neither table of error classes."""
    assert BY_CODE[NoReply.code] is not NoReply
    assert BY_STATUS[NoReply.status] is not NoReply
