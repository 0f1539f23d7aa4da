"""Checks what is asked of an account where AWS refuses, on clients that answer as AWS does."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from glossa.deployment.account import ACCOUNT_FACTS, AwsAccount, account_facts, is_absence
from glossa.deployment.fake import FakeAccount

CALLS = ("get_account_settings", "assume_role", "describe_stacks")


class Refusing(AwsAccount):
    """An account whose every call is refused with one code and message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__("eu-central-1")
        self._answer = {"Error": {"Code": code, "Message": message}}

    def _client(self, service: str) -> Any:
        raise ClientError(self._answer, service)


def test_only_a_stack_that_does_not_exist_is_absent() -> None:
    """Otherwise `glossa destroy` with expired credentials would take a cluster for one that is gone."""
    with pytest.raises(LookupError, match="there is no stack glossa-dev-cluster in eu-central-1"):
        Refusing("ValidationError", "Stack with id glossa-dev-cluster does not exist").outputs("glossa-dev-cluster")
    for code, message in (("ExpiredToken", "expired"), ("AccessDenied", "no"), ("ValidationError", "bad name")):
        with pytest.raises(ClientError, match=message):
            Refusing(code, message).outputs("glossa-dev-cluster")
    assert not is_absence({})


class Answering(AwsAccount):
    """An account that answers every call with one answer."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__("eu-central-1")
        self._answer = answer

    def _client(self, service: str) -> Any:
        return SimpleNamespace(**dict.fromkeys(CALLS, lambda **_: self._answer))


def test_the_limit_of_lambda_and_roles_are_read() -> None:
    """A refusal means that the limit is not known, and that the role cannot be taken."""
    assert Answering({"AccountLimit": {"ConcurrentExecutions": 1000}}).concurrency() == 1000
    assert Answering({}).can_assume("arn:aws:iam::123456789012:role/admin")
    refusing = Refusing("AccessDenied", "no")
    assert refusing.concurrency() is None
    assert not refusing.can_assume("arn:aws:iam::123456789012:role/admin")


def test_parameters_of_a_stack_are_read() -> None:
    """What a stack was given is what decides whether it can be deleted."""
    stack = {"Parameters": [{"ParameterKey": "DeletionProtection", "ParameterValue": "true"}]}
    assert Answering({"Stacks": [stack]}).parameters("glossa-dev-cluster") == {"DeletionProtection": "true"}


def test_the_account_fills_its_own_parameters() -> None:
    """A limit that cannot be read is left out, so that it is asked for."""
    assert set(account_facts(FakeAccount(limit=10))) == set(ACCOUNT_FACTS)
    assert "AccountConcurrency" not in account_facts(FakeAccount(limit=None))
