"""What the routes of other ecosystems need of the API: who calls, and how a task is answered.

Must not know any ecosystem.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from functions.http.authentication import Auth, check_task, tenant_of
from functions.http.resolver import Resolver, request_id
from functions.messages import Result
from functions.pipeline.pipeline import Pipeline
from functions.pipeline.request_limits import REQUEST_LIMITS, RequestLimits
from functions.pipeline.route import choose_head
from functions.pipeline.truncation import ASK_TRUNCATION
from functions.tasks.parse import parse_parameters
from functions.tokenizers.tokenizer import Tokenizer
from shared.catalog import Head, Model
from shared.errors import GlossaError, Unavailable
from shared.messages import tenant_hash

READY_RETRY_AFTER_S = 5.0
MAX_INPUTS = 2048  # OpenAI takes as many in one request, and its clients send them
FOREIGN_LIMITS = replace(REQUEST_LIMITS, max_inputs=MAX_INPUTS)


ASK_SHORTER = "shorten one text, or ask to truncate it where the route can"
Names = Sequence[tuple[str, str]]


def renamed(message: str, names: Names) -> str:
    """Return a message with the name of the field at its beginning as the caller wrote it. The first pair counts."""
    for ours, theirs in names:
        if message.startswith(ours) and not message[len(ours) : len(ours) + 1].isidentifier():
            return f"{theirs}{message[len(ours) :]}"
    return message


class Run(Protocol):
    """Answers a task for a body of our own form: `inputs`, `parameters`, `model`."""

    def __call__(self, task: str, body: object, limits: RequestLimits = REQUEST_LIMITS) -> Result:
        """Return the result. Raises GlossaError."""
        ...


@dataclass(frozen=True, slots=True)
class Service:
    """The API as an adapter's routes see it. `ready` says whether the model server takes calls."""

    api: Resolver
    pipeline: Pipeline
    auth: Auth
    run: Run
    ready: Callable[[], bool]

    def body(self) -> dict[str, object]:
        """Return the JSON object of the current request, once its caller is known. Raises as `Resolver.json`.

        A query parameter is refused, as on our own routes: it would have no effect.
        """
        self.caller()
        self.api.query()
        return self.api.json()

    def caller(self) -> None:
        """Note the tenant of the current request. Raises Forbidden when nobody was verified."""
        self.api.add_log_fields(tenant_hash=tenant_hash(tenant_of(self.api.current_event.raw_event, self.auth)))

    def ask(self, task: str, body: Mapping[str, Any], names: Names = ()) -> Result:
        """Answer a body of our own form: `inputs`, `parameters`, `model`.

        `names` are pairs of a field of ours and the caller's name for it. Raises GlossaError, by the caller's names.
        """
        check_task(self.api.current_event.raw_event, self.auth, task)
        try:
            return self.run(task, body, FOREIGN_LIMITS)
        except GlossaError as error:
            error.message = renamed(error.message, names)
            if error.hint == ASK_TRUNCATION:
                error.hint = ASK_SHORTER  # `truncation` is a field of ours
            raise

    def model_for(self, task: str, reference: str | None) -> tuple[Model, Tokenizer]:
        """Return the model that answers a task, with its tokenizer. Raises NotFound, Unprocessable."""
        name = choose_head(task, parse_parameters(task, None), reference, self.pipeline.catalog).model
        return self.pipeline.catalog.model(name), self.pipeline.tokenizers[name]

    def head_for(self, task: str, reference: str | None, **wanted: object) -> Head:
        """Return the facts of the head that answers a task with these parameters. Raises NotFound, Unprocessable."""
        route = choose_head(task, parse_parameters(task, wanted), reference, self.pipeline.catalog)
        return self.pipeline.catalog.model(route.model).heads[route.head]

    def answer_id(self) -> str:
        """Return the id of the current request, for answers that have one."""
        return request_id(self.api.current_event.raw_event, self.api.lambda_context)

    def check_ready(self) -> None:
        """Raise Unavailable when the model server takes no calls."""
        if not self.ready():
            raise Unavailable("the model server is not ready", retry_after_s=READY_RETRY_AFTER_S)
