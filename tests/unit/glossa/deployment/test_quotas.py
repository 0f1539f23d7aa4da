"""Checks that limits of the account which a deployment would exceed are named, and what it takes."""

from __future__ import annotations

import re

import pytest

from glossa.deployment.environment import DeploySettings, Environment
from glossa.deployment.fake import FakeAccount
from glossa.deployment.quotas import (
    G_QUOTA,
    STANDARD_QUOTA,
    needed_cpu_vcpus,
    needed_gpus,
    quotas,
    reserved_concurrency,
)
from shared.catalog import Catalog, Replicas, load_catalog
from tests.unit.glossa.deployment.values import values
from tests.unit.template import ROOT

CATALOG = load_catalog(ROOT / "catalog.toml")


def environment(platform: str = "cluster", **service: str) -> Environment:
    """Return an environment with these parameters of the functions."""
    deploy = DeploySettings.model_validate({"region": "eu-central-1", "platform": platform})
    return Environment(name="dev", deploy=deploy, parameters={"service": service})


def found(account: FakeAccount, catalog: Catalog = CATALOG, given: Environment | None = None) -> list[str]:
    """Return what the account does not allow, as sentences."""
    where = given or environment()
    return [str(each) for each in quotas(where, catalog, values(where), account)]


def of_replicas(maximum: int, *, cpus: float = 1.0, gpus: float = 0.0) -> Catalog:
    """Return a catalog whose model has up to `maximum` replicas with a share of processors each."""
    replicas = Replicas(max=maximum, num_cpus=cpus, num_gpus=gpus)
    return CATALOG.model_copy(
        update={"models": {"mini": CATALOG.model("mini").model_copy(update={"replicas": replicas})}}
    )


def test_gpus_are_counted_by_shares() -> None:
    """Five replicas of half a GPU take three GPUs."""
    assert needed_gpus(of_replicas(5, gpus=0.5)) == 3
    assert needed_gpus(CATALOG) == 0


def test_a_quota_that_is_too_small_is_named() -> None:
    """Three GPUs take machines of 12 vCPUs."""
    (line,) = found(FakeAccount(quotas={G_QUOTA: 8.0}), of_replicas(3, gpus=1.0))
    assert f"got a quota of 8 vCPUs for {G_QUOTA}, expected 12 or more" in line
    assert found(FakeAccount(quotas={G_QUOTA: 12.0}), of_replicas(3, gpus=1.0)) == []


def test_machines_without_gpus_have_a_quota_too() -> None:
    """Ray's head takes 4 vCPUs, and 14 CPUs of replicas take two machines of 8. Instances are not counted by models."""
    assert needed_cpu_vcpus(of_replicas(2, cpus=7.0)) == 20
    small = FakeAccount(quotas={STANDARD_QUOTA: 5.0})
    (line,) = found(small)
    assert f"got a quota of 5 vCPUs for {STANDARD_QUOTA}, expected 12 or more" in line
    assert found(small, given=environment("instances")) == []


def test_limits_that_cannot_be_read_stop_nobody() -> None:
    """A role that may not read quotas may still deploy. It writes down the one that an alarm needs."""
    (line,) = found(FakeAccount(limit=None), of_replicas(3, gpus=1.0))
    assert "write it as AccountConcurrency into [observability] of infra/environments/dev.toml" in line
    given = environment().model_copy(update={"parameters": {"observability": {"AccountConcurrency": "10"}}})
    assert found(FakeAccount(limit=None), of_replicas(3, gpus=1.0), given) == []


@pytest.mark.parametrize(
    ("service", "reserved"),
    [({}, 376), ({"Auth": "key"}, 426), ({"Canary": "true", "InferConcurrency": "100"}, 177)],
)
def test_the_concurrency_that_functions_reserve_is_counted(service: dict[str, str], reserved: int) -> None:
    """The parameters decide it, and the authorizer and the smoke test are there by condition."""
    assert reserved_concurrency(values(environment(**service))) == reserved


def test_every_reservation_of_the_template_is_counted() -> None:
    """A new function with a reservation changes the sum: the template's own lines are counted here."""
    text = (ROOT / "template.yaml").read_text(encoding="utf-8")
    lines = re.findall(r"ReservedConcurrentExecutions: !If \[ReservesConcurrency, (?:!Ref )?(\w+),", text)
    assert sorted(lines) == sorted([
        "1", "1", "AuthorizeConcurrency", "InferConcurrency", "JobsConcurrency", "WorkConcurrency",
        "StepConcurrency", "StepConcurrency", "StepConcurrency",
    ])  # fmt: skip
    assert len(lines) == text.count("ReservedConcurrentExecutions:")


def test_an_account_with_a_low_limit_is_told_before_the_functions_fail() -> None:
    """Lambda keeps 100 for functions without a reservation."""
    (line,) = found(FakeAccount(limit=475))
    assert "got a limit of 475 concurrent executions of Lambda, expected 476 or more: 376 are reserved" in line
    assert found(FakeAccount(limit=476)) == []


def test_a_shared_limit_is_enough_for_functions() -> None:
    """With Concurrency=shared no function of the API reserves anything; the canary may."""
    given = environment(Concurrency="shared")
    assert found(FakeAccount(limit=101), given=given) == []
