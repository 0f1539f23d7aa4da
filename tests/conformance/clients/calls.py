"""What the script of each client shares: calls with what they should return, compared with our own routes.

Runs in the environment of the clients, so it needs the standard library alone. Must not know any client.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.request import Request, urlopen

TOLERANCE = 1e-5  # base64 and float32 round
TIMEOUT_S = 60.0


class NoModelError(Exception):
    """No model that is served does the task."""


@dataclass(frozen=True)
class Call:
    """One call of a client: its name, its task, what makes it, and what it should return, mostly by our own route."""

    name: str
    task: str
    run: Callable[[], Any]
    wanted: Callable[[], Any]


class Api:
    """The API under test, at a base address."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._defaults: Mapping[str, str] = self._ask("/v1/models")["defaults"]

    def model(self, task: str) -> str:
        """Return the `model:head` that does a task. Raises NoModelError."""
        if task not in self._defaults:
            raise NoModelError(f"no model that is served does {task}")
        return self._defaults[task]

    def own(self, task: str, inputs: Any, **parameters: Any) -> Any:
        """Return the results of our own route."""
        body = {"inputs": inputs, "parameters": parameters, "model": self.model(task)}
        return self._ask(f"/v1/{task}", body)["results"]

    def one(self, task: str, inputs: Any, **parameters: Any) -> Any:
        """Return the result of our own route for one input."""
        return self.own(task, inputs, **parameters)[0]

    def tokens(self, text: str, task: str) -> list[int]:
        """Return the token ids of a text, as the model of a task reads it, without special ones."""
        body = {"inputs": text, "model": self.model(task), "add_special_tokens": False}
        ids: list[int] = self._ask("/v1/tokenize", body)["results"][0]["ids"]
        return ids

    def _ask(self, path: str, body: object | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        asked = Request(self.url + path, data=data, headers={"Content-Type": "application/json"})  # noqa: S310 - the address under test
        with urlopen(asked, timeout=TIMEOUT_S) as answer:  # noqa: S310 - likewise
            return json.load(answer)


def raised(run: Callable[[], Any], kind: type[Exception], word: str) -> bool:
    """Whether a call raises this kind of error, with a word in its message."""
    try:
        run()
    except kind as error:
        return word in str(error)
    return False


def alike(found: Any, wanted: Any) -> bool:
    """Whether two values are equal, but for the rounding of numbers."""
    if isinstance(wanted, bool | str) or wanted is None:
        return bool(found == wanted)
    if isinstance(wanted, int | float):
        return isinstance(found, int | float) and math.isclose(found, wanted, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    if isinstance(wanted, Mapping):
        return set(found) == set(wanted) and all(alike(found[name], wanted[name]) for name in wanted)
    return len(found) == len(wanted) and all(map(alike, found, wanted))


def report(client: str, version: str, calls: Iterable[Call]) -> None:
    """Make each call, and print one line of JSON for each: passed, failed, or skipped with a reason."""
    for call in calls:
        try:
            found, wanted = call.run(), call.wanted()
            state, said = ("passed", "") if alike(found, wanted) else ("failed", f"got {found!r}, expected {wanted!r}")
        except NoModelError as error:
            state, said = "skipped", str(error)
        except Exception as error:  # noqa: BLE001 - whatever a client raises is a failure of the call
            state, said = "failed", f"{type(error).__name__}: {error}"
        line = {"client": client, "version": version, "call": call.name, "task": call.task, "state": state}
        print(json.dumps(line | {"said": said[:600]}), flush=True)  # noqa: T201 - the runner reads it


def api_of_arguments() -> Api:
    """Return the API whose address is the only argument."""
    return Api(sys.argv[1])
