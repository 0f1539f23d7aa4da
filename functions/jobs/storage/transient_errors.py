"""Tells an error of a service, which a later try may not meet, from an error of what was asked.

Recognizes the errors of the AWS library by the name of their module, so that boto3 is not imported here.
"""

from __future__ import annotations

from shared.errors import GlossaError

TRANSIENT_CODES = frozenset({
    "InternalError", "InternalServerError", "ProvisionedThroughputExceededException", "RequestLimitExceeded",
    "RequestTimeout", "ServiceUnavailable", "SlowDown", "Throttling", "ThrottlingException", "TooManyRequestsException",
})  # fmt: skip
SERVER_ERROR = 500


def is_transient(error: BaseException) -> bool:
    """Whether a later try may succeed: our own retryable errors, and errors of an AWS service."""
    if isinstance(error, GlossaError):
        return error.retryable
    if type(error).__module__.split(".")[0] != "botocore":
        return False
    response = getattr(error, "response", None)
    if not isinstance(response, dict):
        return True  # no answer arrived: no connection, a read timeout, a broken stream
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    return status >= SERVER_ERROR or response.get("Error", {}).get("Code") in TRANSIENT_CODES
