"""Calls a task and reads its answer into a Result. What is not given is left out of the request.

Must not know which tasks there are, nor the HTTP library.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from glossa.client.errors import BadAnswer
from glossa.client.flows import Api, Flow, Reply
from glossa.client.readers import as_it_is
from glossa.client.values import Result

T = TypeVar("T")


def run_task(
    api: Api, task: str, inputs: object, parameters: dict[str, Any] | None = None, model: str | None = None
) -> Flow[Result[Any]]:
    """Call any task; return its values as the API gives them.

    client.run_task("text-classification", "The team won.", {"top_k": 2})
    """
    return called(api, task, inputs, model, parameters or {}, as_it_is)


def called(
    api: Api, task: str, inputs: object, model: str | None, parameters: dict[str, Any], read: Callable[[Any], T]
) -> Flow[Result[T]]:
    """Call a task; return what `read` makes of each value. A parameter that is None is sent as null."""
    body = given_of({"inputs": inputs, "model": model, "parameters": parameters or None})
    reply = yield from api.call("POST", f"/v1/{task}", body)
    return result_of(reply, task, read)


def given_of(given: dict[str, Any]) -> dict[str, Any]:
    """Return what was given, without what was left out."""
    return {name: value for name, value in given.items() if value is not None}


def result_of(reply: Reply, task: str, read: Callable[[Any], T]) -> Result[T]:
    """Return the result that an answer holds. Raises BadAnswer."""

    def result(found: dict[str, Any]) -> Result[T]:
        usage = found.get("usage", {})
        return Result(
            values=[read(value) for value in found["results"]],
            model=found["model"],
            head=found.get("head", ""),
            n_tokens=usage.get("n_tokens", ()),
            n_windows=usage.get("n_windows", ()),
            truncated=usage.get("truncated", ()),
            timings_ms=found.get("timings_ms", {}),
            request_id=reply.request_id,
        )

    return read_answer(result, reply.json, task)


def read_answer(read: Callable[[Any], T], found: object, what: str) -> T:
    """Read an answer. Raises BadAnswer when it has another form: the service is another version, or another one."""
    try:
        return read(found)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise BadAnswer(f"got an answer of {what} that cannot be read ({error!r}), expected that of Glossa") from None
