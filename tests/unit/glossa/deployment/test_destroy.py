"""Checks the plan of a removal: its order, what it refuses, and what it says of the rest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import pytest

from glossa.deployment.destroy import GOES, STAYS, destroy_steps, protections, what_stays
from glossa.deployment.environment import DeploySettings, Environment
from tests.unit.infra.stacks import TEMPLATES, stack

SOME_STAY = {"AWS::ECR::Repository", "AWS::IAM::Role"}  # each of these has a text that says which ones


def environment(platform: str) -> Environment:
    """Return an environment on a platform."""
    deploy = DeploySettings.model_validate({"region": "eu-central-1", "platform": platform})
    return Environment(name="dev", deploy=deploy, parameters={})


def names(platform: str, *standing: str) -> list[str]:
    """Return the names of the steps when these stacks stand, all of them without any."""
    return [step.name for step in destroy_steps(environment(platform), standing or None)]


def test_stacks_are_removed_in_reverse_order_and_the_cluster_is_emptied_first() -> None:
    """Machines and load balancers that the cluster made would keep the network from being removed."""
    assert names("cluster") == ["name", "observability", "service", "manifests", "cluster", "network", "weights"]
    assert names("instances") == ["observability", "service", "instances", "network", "weights"]


def test_a_second_try_asks_nothing_of_stacks_that_are_gone() -> None:
    """Without the cluster nothing runs in it, and without the network there is no zone with a record."""
    assert "manifests" not in names("cluster", "network")
    assert "name" in names("cluster", "network")
    assert "name" not in names("cluster", "weights")


@pytest.mark.parametrize("platform", ["cluster", "instances"])
def test_a_protected_stack_is_refused_before_the_first_step(platform: str) -> None:
    """The parameter that refuses is named with its file, while the environment is still whole."""

    def given(value: str) -> list[str]:
        return protections(environment(platform), lambda _: {"DeletionProtection": value})

    (line,) = given("true")
    assert line.startswith(f"got {platform}.DeletionProtection true in stack glossa-dev-{platform}, expected false")
    assert f"[{platform}] of infra/environments/dev.toml" in line
    assert given("false") == []


def test_a_stack_that_is_gone_protects_nothing() -> None:
    """A second try after the cluster was removed goes on."""

    def gone(name: str) -> Mapping[str, str]:
        raise LookupError(name)

    assert protections(environment("cluster"), gone) == []


def policies() -> dict[str, set[bool]]:
    """Return for each type of resource whether its resources are retained, over all templates."""
    found = defaultdict(set)
    for name in TEMPLATES:
        for resource in stack(name)["Resources"].values():
            found[resource["Type"]].add(resource.get("DeletionPolicy", "Delete").startswith("Retain"))
    return found


def test_what_stays_is_what_the_templates_retain() -> None:
    """The sentence before the question names every retained type, and nothing that is deleted."""
    found = policies()
    assert {kind for kind, retained in found.items() if True in retained} == set(STAYS)
    assert {kind for kind in STAYS if False in found[kind]} <= SOME_STAY
    assert all(found[kind] == {False} for kind in GOES)
    assert all(text in what_stays() for text in (*STAYS.values(), *GOES.values()))
