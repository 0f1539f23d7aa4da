"""Waits until the deployed API answers that its model servers are ready.

    python -m glossa.deployment.programs.health --url URL --region REGION [--auth iam] [--within-s 600]

With --auth iam the call is signed. Otherwise it carries GLOSSA_API_KEY, an API key or a token, as a Bearer token.
Must not know what was deployed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping

from glossa.client import NO_RETRIES, ApiError, Client

POLL_S = 10.0
API_KEY = "GLOSSA_API_KEY"
BEARERS = ("jwt", "key", "bearer")  # values of Auth whose API takes Bearer tokens alone


def key_for(auth: str, environ: Mapping[str, str]) -> str | None:
    """Return the Bearer token for an API that expects one, None for one whose calls are signed or open.

    Raises ValueError when the environment holds none.
    """
    if auth not in BEARERS:
        return None
    if key := environ.get(API_KEY):
        return key
    raise ValueError(f"got no {API_KEY}, expected an API key or a token in it: the API has Auth={auth}")


def wait_until_ready(
    ask: Callable[[], object],
    within_s: float,
    say: Callable[[str], None],
    *,
    clock_s: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> bool:
    """Ask until there is an answer without an error; return whether one came within `within_s` seconds."""
    ends_s = clock_s() + within_s
    said = ""
    while True:
        try:
            ask()
        except ApiError as error:
            if error.message != said:
                said = error.message
                say(f"not ready yet: {said}")
        else:
            return True
        if clock_s() + POLL_S > ends_s:
            return False
        pause(POLL_S)


def main() -> int:
    """Wait; return 0 when the API is ready, else 1 with what it said last."""
    parser = argparse.ArgumentParser(prog="python -m glossa.deployment.programs.health")
    parser.add_argument("--url", required=True)
    parser.add_argument("--region", required=True)
    parser.add_argument("--auth", default="iam")
    parser.add_argument("--within-s", type=float, default=600.0)
    asked = parser.parse_args()
    os.environ.setdefault("AWS_DEFAULT_REGION", asked.region)
    try:
        client = Client(asked.url, api_key=key_for(asked.auth, os.environ) or "", retries=NO_RETRIES)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    if wait_until_ready(client.ready, asked.within_s, print):
        print(f"{asked.url}: ready")
        return 0
    print(f"{asked.url} is not ready after {asked.within_s:g} s; docs/operations has what to look at", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
