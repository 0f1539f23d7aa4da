"""Starts the emulator, bounds its workers, and adds to its checks of rights what AWS has. Runs in .venv-local.

The added rules: calls count as encrypted, a batch call of SQS needs the right to the single call, and the condition
keys `dynamodb:LeadingKeys`, `s3:if-none-match`, `events:source` and `kms:EncryptionContext:NAME` are known. With
EMULATOR_CALLS_FILE set, each check is written there as a line of JSON. With EMULATOR_MAX_WORKERS set, each function has
at most so many processes. Must not know Glossa or its template.
"""

from __future__ import annotations

import contextvars
import json
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ministack import app as emulator
from ministack.core import iam_actions, iam_evaluator, lambda_runtime
from ministack.services import lambda_svc, sts

from local.authorization.request_keys import as_dict, leading_keys

Scope = dict[str, Any]  # Any: what ASGI passes
App = Callable[[Scope, Any, Any], Awaitable[None]]
BODY = 4  # the place of the body among the arguments of `extract_iam_action`
# On AWS these batch calls have no action of their own. Each of their entries is authorized as the single call.
SINGLE = {
    "sqs:SendMessageBatch": "sqs:SendMessage",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
}
# The partition keys that each check of the running transaction is about, in the order of the checks.
_pending: contextvars.ContextVar[list[list[str]] | None] = contextvars.ContextVar("pending", default=None)


def add_rules() -> None:
    """Replace five functions of the emulator by ones that know more. The emulator looks each of them up by name."""
    of_tags = iam_actions.request_tag_context
    name_action, checks = iam_actions.extract_iam_action, iam_actions.dynamodb_transaction_checks
    of_table, of_object = iam_actions.dynamodb_service_context, iam_actions.s3_service_context

    def extract_iam_action(*given: Any, **named: Any) -> str | None:
        found: str | None = name_action(*given, **named)
        if found == "s3:DeleteObject" and b"<VersionId>" in given[BODY]:  # a list of versions, not of keys
            return "s3:DeleteObjectVersion"
        return SINGLE.get(found, found) if found else None

    def dynamodb_service_context(body: bytes) -> dict[str, Any]:
        keys = leading_keys(as_dict(body))
        return {**of_table(body), **({"dynamodb:LeadingKeys": keys} if keys else {})}

    def dynamodb_transaction_checks(action: str, body: bytes, *rest: str) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = checks(action, body, *rest)
        statements = [next(iter(each.values())) for each in as_dict(body).get("TransactItems", [])] if found else []
        _pending.set([leading_keys(statement) for statement in statements] if found else None)
        return found

    def s3_service_context(action: str, query: Any, path: str = "", headers: Mapping[str, str] | None = None) -> Any:
        given = dict(of_object(action, query, path, headers))
        if action == "s3:PutObject" and (headers or {}).get("if-none-match"):
            given["s3:if-none-match"] = (headers or {})["if-none-match"]
        return given

    def request_tag_context(service: str, action: str, body: bytes, params: Any) -> dict[str, Any]:
        given = dict(of_tags(service, action, body, params))
        sources = {str(entry.get("Source")) for entry in as_dict(body).get("Entries", [])}
        if service == "kms":
            sealed = as_dict(body).get("EncryptionContext") or {}
            return {**given, **{f"kms:EncryptionContext:{name}": value for name, value in sealed.items()}}
        return {**given, **({"events:source": sources.pop()} if service == "events" and len(sources) == 1 else {})}

    iam_actions.request_tag_context = request_tag_context
    iam_actions.extract_iam_action = extract_iam_action
    iam_actions.dynamodb_service_context = dynamodb_service_context
    iam_actions.dynamodb_transaction_checks = dynamodb_transaction_checks
    iam_actions.s3_service_context = s3_service_context


def watch(calls_file: str | None) -> None:
    """Give each check of a transaction its own partition keys. Write each check of a function's role to a file."""
    decide = iam_evaluator.enforce

    def enforce(
        key: str, action: str, service: str, region: str, resource_arn: str = "*", service_context: Any = None
    ) -> Any:
        context, pending = dict(service_context or {}), _pending.get()
        if pending and "dynamodb:EnclosingOperation" in context:
            context["dynamodb:LeadingKeys"] = pending.pop(0)
        refused = decide(key, action, service, region, resource_arn=resource_arn, service_context=context)
        role = str((sts._sessions.get(key) or {}).get("Arn", ""))  # noqa: SLF001 - it has no public one
        if calls_file and role:
            line = {
                "role": role.split("/")[1], "action": action, "resource": resource_arn,
                "context": {name: value for name, value in context.items() if value is not None},
                "allowed": refused is None,
            }  # fmt: skip
            with Path(calls_file).open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
        return refused

    iam_evaluator.enforce = enforce


def bound_workers(most: int) -> None:
    """Let each function have at most `most` processes. A call beyond them gets 429 at once, with Retry-After."""
    answer_of = lambda_svc.lambda_execute_result_to_api_proxy_response

    def with_retry_after(result: Any) -> Any:
        answer, error = answer_of(result)
        if answer and result.get("throttle"):
            answer = {**answer, "headers": {**answer["headers"], "Retry-After": "1"}}
        return answer, error

    lambda_svc.lambda_execute_result_to_api_proxy_response = with_retry_after
    lambda_runtime._LOCAL_MAX_WORKERS = most  # noqa: SLF001 - it has no public one, and reads this at each call


def encrypted(inner: App) -> App:
    """Return an app that takes every call to an AWS service as one that came by TLS.

    The policies refuse calls without TLS. The emulator listens without it, on loopback alone.
    """

    async def outer(scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and "/execute-api/" not in scope["path"]:
            headers: Sequence[tuple[bytes, bytes]] = scope["headers"]
            scope = {**scope, "headers": [*headers, (b"x-forwarded-proto", b"https")]}
        await inner(scope, receive, send)

    return outer


def main() -> None:
    """Run the emulator until it gets SIGTERM."""
    add_rules()
    watch(os.environ.get("EMULATOR_CALLS_FILE"))
    bound_workers(int(os.environ.get("EMULATOR_MAX_WORKERS", "0")))
    emulator.app = encrypted(emulator.app)
    emulator.main()
