"""Who a request comes from: an API key or a token in a header, or a signature of AWS (SigV4).

Signing needs botocore, which the wheel installs with its extra `aws`. Must not know the HTTP library.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from glossa.client.address import is_private
from glossa.client.errors import InvalidRequest

SERVICE = "execute-api"
BOTOCORE_HINT = "install it: pip install botocore, or the wheel with its extra `aws`"
_VISIBLE = re.compile(r"[A-Za-z0-9._~+/=-]+")
_AWS_HOST = re.compile(r"[a-z0-9-]+\.execute-api\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?")


def with_key(url: str, headers: Mapping[str, str], api_key: str) -> dict[str, str]:
    """Return the headers of a request with a key. Raises InvalidRequest where others could read or change them."""
    check_private(url, "an API key")
    if not _VISIBLE.fullmatch(api_key):
        raise InvalidRequest("got an API key with spaces or other characters, expected it as it was printed")
    return {**headers, "authorization": f"Bearer {api_key}"}


def check_private(url: str, secret: str) -> None:
    """Raise InvalidRequest where others could read or change a request with a secret, whose name is for the message."""
    if not is_private(url):
        parts = urlsplit(url)
        raise InvalidRequest(f"got {parts.scheme}://{parts.hostname} and {secret}, expected https")


def region_of(url: str) -> str | None:
    """Return the region of an address of API Gateway, None for any other address."""
    host = _AWS_HOST.fullmatch(urlsplit(url).hostname or "")
    return host["region"] if host else None


@cache
def aws_credentials() -> Any:
    """Return the caller's AWS credentials, found once; botocore renews them. Raises InvalidRequest without any."""
    try:
        from botocore.session import get_session  # noqa: PLC0415 - takes 300 ms, and only calls to AWS need it
    except ImportError:
        found = "got no API key and no botocore, expected a key, or botocore to sign with your AWS credentials"
        raise InvalidRequest(found, hint=BOTOCORE_HINT) from None

    credentials = get_session().get_credentials()
    if credentials is None:
        raise InvalidRequest("got no AWS credentials, expected some: the API takes signed requests")
    return credentials


def signature(method: str, url: str, data: bytes, region: str, credentials: Any) -> dict[str, str]:
    """Return the headers that sign a request: they cover method, address, host, time and body.

    The query must be as `encoded_query` writes it: botocore signs that of a URL as it is.
    """
    from botocore.auth import SigV4Auth  # noqa: PLC0415 - takes 300 ms, and only calls to AWS need it
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415 - only calls to AWS need it

    request = AWSRequest(method=method, url=url, data=data)
    SigV4Auth(credentials.get_frozen_credentials(), SERVICE, region).add_auth(request)
    return dict(request.headers.items())
