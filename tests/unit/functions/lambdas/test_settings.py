"""Settings of functions: reading them names the stack to the metrics."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from functions.lambdas.settings import FunctionSettings, read_function_settings
from shared import metrics
from shared.metrics import metrics_of


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    metrics.forget_stack()
    yield
    metrics.forget_stack()


def test_a_function_with_a_stack_writes_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    """After GLOSSA_STACK was read, log lines carry metrics with this stack."""
    monkeypatch.setenv("GLOSSA_STACK", "glossa-dev-service")
    read_function_settings(FunctionSettings)
    assert metrics_of("sweep-run", {"count": 0, "failed": 0}, 1)["stack"] == "glossa-dev-service"


def test_a_function_without_one_writes_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the variable there are no metrics."""
    monkeypatch.delenv("GLOSSA_STACK", raising=False)
    read_function_settings(FunctionSettings)
    assert metrics_of("sweep-run", {"count": 0, "failed": 0}, 1) == {}
