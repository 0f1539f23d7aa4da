"""Reads the environment of the remote commands: the address of the API, and the secret of a webhook.

Secrets are no arguments of commands, because every process of the machine can see those. Must not know HTTP.
"""

from __future__ import annotations

import os

from glossa.client.address import FORM, is_address, shown_address


def api_address(url: str | None) -> str:
    """Return the address that --url or GLOSSA_API_URL names. Raises ValueError when it is none of an API."""
    address = url or os.environ.get("GLOSSA_API_URL", "")
    if not is_address(address):
        raise ValueError(
            f"got --url {shown_address(address)}, expected the address of the API, there or in GLOSSA_API_URL: {FORM}"
        )
    return address


def webhook_secret() -> str:
    """Return GLOSSA_WEBHOOK_SECRET, which signs the calls to a webhook; empty when it is not set."""
    return os.environ.get("GLOSSA_WEBHOOK_SECRET", "")
