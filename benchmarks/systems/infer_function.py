"""Runs the infer function in a process of its own, as the Lambda runtime does: one event after the other.

Settings come from the environment. Each line of standard input is `{"events": FILE, "first": N, "seconds": S}`. The
process handles the events in order from the Nth on, for S seconds. Then it writes one JSON line: tokens, failures, and
the milliseconds of each answer.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

OK = 200


def main() -> None:
    """Load the function, write a ready line, then work on each line."""
    answers, sys.stdout = sys.stdout, sys.stderr  # the log of the function must not mix with the answers
    from functions.lambdas.infer import handler  # noqa: PLC0415 - it logs while it loads
    from tests.events import FakeContext, request  # noqa: PLC0415 - it imports after the function, whose log is redirected

    def say(answer: dict[str, Any]) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    say({"ready": True})
    for line in sys.stdin:
        order = json.loads(line)
        bodies = json.loads(Path(order["events"]).read_text(encoding="utf-8"))
        events = [request("POST", "/v1/text-classification", json.dumps(body)) for body in bodies]
        say(work(handler, FakeContext(), events, order["first"], order["seconds"]))


def work(handler: Any, context: Any, events: list[Any], first: int, seconds: float) -> dict[str, Any]:
    """Handle events in order for `seconds`. `own_ms` is the time of a call without its queue and forward pass."""
    began = time.perf_counter()
    took_ms, own_ms = [], []
    n_tokens = n_failed = 0
    number = first
    while time.perf_counter() - began < seconds:
        called = time.perf_counter()
        answer = handler(events[number % len(events)], context)
        took = (time.perf_counter() - called) * 1e3
        number += 1
        if answer["statusCode"] != OK:
            n_failed += 1
            continue
        body = json.loads(answer["body"])
        took_ms.append(took)
        own_ms.append(took - body["timings_ms"]["queue"] - body["timings_ms"]["infer"])
        n_tokens += sum(body["usage"]["n_tokens"])
    return {
        "seconds": time.perf_counter() - began,
        "n_tokens": n_tokens,
        "n_failed": n_failed,
        "took_ms": took_ms,
        "own_ms": own_ms,
    }


if __name__ == "__main__":
    main()
