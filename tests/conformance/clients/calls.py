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
from urllib.error import HTTPError
from urllib.request import Request, urlopen

TOLERANCE = 1e-5  # base64 and float32 round
TIMEOUT_S = 60.0


class NoModelError(Exception):
    """No model that is served does the task."""


class HttpError(Exception):
    """An answer that is an error: its status, and its JSON."""

    def __init__(self, status: int, answer: Any) -> None:
        super().__init__(f"{status}: {answer}")
        self.status = status
        self.answer = answer


@dataclass(frozen=True)
class Call:
    """One call of a client: its name, its task, what makes it, and what it should return, mostly by our own route."""

    name: str
    task: str
    run: Callable[[], Any]
    wanted: Callable[[], Any]


class Api:
    """The API under test, at a base address, and the key that clients bring."""

    def __init__(self, url: str, key: str, open_url: str | None = None) -> None:
        """Take the address, a key, and the address of the same API where it takes everyone, if there is one."""
        self.url = url.rstrip("/")
        self.key = key
        self.open_url = open_url
        self._defaults: Mapping[str, str] = self.json("/v1/models")["defaults"]

    def model(self, task: str) -> str:
        """Return the `model:head` that does a task. Raises NoModelError."""
        if task not in self._defaults:
            raise NoModelError(f"no model that is served does {task}")
        return self._defaults[task]

    def own(self, task: str, inputs: Any, **parameters: Any) -> Any:
        """Return the results of our own route."""
        return self.named(self.model(task), task, inputs, **parameters)

    def named(self, model: str, task: str, inputs: Any, **parameters: Any) -> Any:
        """Return the results of our own route by a named model."""
        return self.post(f"/v1/{task}", {"inputs": inputs, "parameters": parameters, "model": model})["results"]

    def one(self, task: str, inputs: Any, **parameters: Any) -> Any:
        """Return the result of our own route for one input."""
        return self.own(task, inputs, **parameters)[0]

    def sparse(self) -> str:
        """Return the `model:head` that weighs tokens. Raises NoModelError."""
        for model in self.json("/v1/models")["models"]:
            for name, head in model["heads"].items():
                if head["task"] == "feature-extraction" and "pooling" not in head:
                    return f"{model['name']}:{name}"
        raise NoModelError("no model that is served weighs tokens")

    def tokens(self, text: str, task: str, *, special: bool = False) -> list[int]:
        """Return the token ids of a text, as the model of a task reads it, with special ones or without."""
        body = {"inputs": text, "model": self.model(task), "add_special_tokens": special}
        ids: list[int] = self.post("/v1/tokenize", body)["results"][0]["ids"]
        return ids

    def heads(self, model: str) -> Mapping[str, Any]:
        """Return the heads of a model by name, the first one first."""
        found: Mapping[str, Any] = self.json(f"/v1/models/{model}")["heads"]
        return found

    def json(self, path: str) -> Any:
        """Return the JSON of a path."""
        return json.loads(self.get(path))

    def get(self, path: str) -> bytes:
        """Return what a path answers."""
        return self._sent(Request(self.url + path, headers=self._headers()))  # noqa: S310 - the address under test

    def post(self, path: str, body: object) -> Any:
        """Return the JSON that a path answers to a body. Raises HttpError."""
        asked = Request(self.url + path, data=json.dumps(body).encode(), headers=self._headers())  # noqa: S310 - likewise
        return json.loads(self._sent(asked))

    def _headers(self) -> dict[str, str]:
        return {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}

    def _sent(self, asked: Request) -> bytes:
        try:
            with urlopen(asked, timeout=TIMEOUT_S) as answer:  # noqa: S310 - likewise
                data: bytes = answer.read()
                return data
        except HTTPError as error:
            raise HttpError(error.code, json.loads(error.read() or b"null")) from None


def raised(run: Callable[[], Any], kind: type[Exception], word: str) -> bool:
    """Whether a call raises this kind of error, with a word in its message."""
    try:
        run()
    except kind as error:
        return word in str(error)
    return False


def alike(found: Any, wanted: Any) -> bool:
    """Whether two values are equal, but for the rounding of numbers."""
    if isinstance(wanted, set):
        return bool(found == wanted)
    if isinstance(wanted, bool | str) or wanted is None:
        return bool(found == wanted)
    if isinstance(wanted, int | float):
        return isinstance(found, int | float) and math.isclose(found, wanted, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    if isinstance(wanted, Mapping):
        return set(found) == set(wanted) and all(alike(found[name], wanted[name]) for name in wanted)
    return len(found) == len(wanted) and all(map(alike, found, wanted))


def report(client: str, version: str, calls: Iterable[Call]) -> None:
    """Make each call, and print one line of JSON for each: passed, failed, or skipped with a reason.

    With `--first`, the first call that is not skipped is the last.
    """
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
        if state != "skipped" and "--first" in sys.argv:
            return


def api_of_arguments() -> Api:
    """Return the API of the arguments: its address, a key, and `--open ADDRESS` where it takes everyone."""
    open_url = sys.argv[sys.argv.index("--open") + 1] if "--open" in sys.argv else None
    return Api(sys.argv[1], sys.argv[2], open_url)
