"""Checks what is asked of an account where AWS refuses, on clients that answer as AWS does."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from glossa.deployment.account import AwsAccount, is_absence


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
