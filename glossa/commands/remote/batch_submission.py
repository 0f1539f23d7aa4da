"""What a batch job is asked to do, from the options of `glossa batch submit`. Must not know HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from glossa.client import InvalidRequest, JobSpec, Webhook
from glossa.commands.remote.options import read_parameters
from glossa.commands.remote.settings import webhook_secret

MIN_SECRET_CHARS = 16


def spec_of(*, parameters: Sequence[str], no_quotes: bool, webhook: str | None, **given: Any) -> JobSpec:
    """Return the job that the options ask for; those in `given` are fields of JobSpec.

    Raises ValueError or InvalidRequest for options that do not fit.
    """
    read = read_parameters(parameters)
    return JobSpec(**given, parameters=read, quoted=not no_quotes, webhook=_webhook(webhook) if webhook else None)


def _webhook(url: str) -> Webhook:
    # The secret is no argument of the command, because every process of the machine can see those.
    secret = webhook_secret()
    if len(secret) < MIN_SECRET_CHARS:
        found = f"got GLOSSA_WEBHOOK_SECRET of {len(secret)} characters"
        raise InvalidRequest(f"{found}, expected {MIN_SECRET_CHARS} or more")
    return Webhook(url=url, secret=secret)
