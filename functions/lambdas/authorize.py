"""The Lambda function that API Gateway asks who sends a Bearer token: wires the authorizer."""

from __future__ import annotations

from typing import Any

from functions.authorizer.authorizer import Authorizer
from functions.authorizer.jwt_tokens import Issuers, JwtCallers
from functions.authorizer.key_store import open_keys
from shared.metrics import set_stack
from shared.settings import Settings, read_settings


class AuthorizeSettings(Settings):
    """`stack`: its name, for metrics. `keys_table`: the table of API keys. `issuers`: a JSON list.

    What is not set is not taken.
    """

    stack: str = ""
    keys_table: str = ""
    issuers: Issuers = Issuers()


def build(settings: AuthorizeSettings) -> Authorizer:
    """Make the authorizer, and name the stack to its metrics."""
    if settings.stack:
        set_stack(settings.stack)
    return Authorizer(
        keys=open_keys(settings.keys_table) if settings.keys_table else None,
        jwts=JwtCallers(settings.issuers) if settings.issuers.listed else None,
    )


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ARG001 - the runtime passes it
    """Answer one event of API Gateway."""
    return authorizer.handle_event(event)


authorizer = build(read_settings(AuthorizeSettings))
