"""Checks that values which do not fit together are named before anything is created."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from glossa.deployment.choices import choices, warnings
from glossa.deployment.environment import DeploySettings, Environment
from shared.catalog import Catalog, Replicas, load_catalog
from tests.unit.glossa.deployment.values import values
from tests.unit.template import ROOT

CATALOG = load_catalog(ROOT / "catalog.toml")
CIDR = {"PublicAccessCidrs": "192.0.2.0/24"}
SECRET = {"CanaryKeySecretArn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:canary"}


def environment(platform: str = "cluster", deploy: Mapping[str, str] | None = None, **stacks: object) -> Environment:
    """Return an environment with these parameters for its stacks."""
    settings = DeploySettings.model_validate({"region": "eu-central-1", "platform": platform, **(deploy or {})})
    return Environment.model_validate({"name": "dev", "deploy": settings, "parameters": stacks})


def found(given: Environment, catalog: Catalog | None = CATALOG, environ: Mapping[str, str] | None = None) -> list[str]:
    """Return what does not fit, as sentences."""
    return [str(each) for each in choices(given, catalog, values(given), environ or {})]


def with_replicas(least: int) -> Catalog:
    """Return a catalog whose model has at least so many replicas."""
    model = CATALOG.model("mini").model_copy(update={"replicas": Replicas(min=least, max=3)})
    return CATALOG.model_copy(update={"models": {"mini": model}})


@pytest.mark.parametrize("given", [CIDR, {"AdminCidr": "10.0.0.0/16"}])
def test_someone_must_reach_the_api_of_the_cluster(given: dict[str, str]) -> None:
    """Without addresses kubectl would stop after half an hour, with a cluster paid for."""
    (line,) = found(environment())
    assert line.startswith("got neither cluster.PublicAccessCidrs nor cluster.AdminCidr, expected the addresses")
    assert found(environment(cluster=given)) == []


@pytest.mark.parametrize("auth", ["key", "jwt", "bearer"])
def test_bearer_tokens_are_asked_for_before_they_are_needed(auth: str) -> None:
    """The last step and the canary each need one; without it they would be refused for ever."""
    service = {"Auth": auth}
    first, second = found(environment(cluster=CIDR, service=service))
    assert f"got no GLOSSA_API_KEY with Auth={auth}, expected a token" in first
    assert ("Issuers" if auth == "jwt" else "glossa keys create --stack glossa-dev-service") in first
    assert "got no value for observability.CanaryKeySecretArn" in second
    given = environment(cluster=CIDR, service=service, observability=SECRET)
    assert found(given, environ={"GLOSSA_API_KEY": "k"}) == []


@pytest.mark.parametrize("kind", ["m7g.large", "c7gn.xlarge", "t4g.small", "a1.large", "im4gn.large", "g5g.xlarge"])
def test_arm_processors_are_refused(kind: str) -> None:
    """The image is built for x86 alone."""
    (line,) = found(environment("instances", instances={"InstanceType": kind}))
    assert f"got instances.InstanceType {kind}, which has an Arm processor" in line


@pytest.mark.parametrize("kind", ["g6.xlarge", "g6e.xlarge", "m7i-flex.large", "c7a.4xlarge", "p4de.24xlarge"])
def test_x86_processors_are_taken(kind: str) -> None:
    """A g before the digit is a GPU family, and no Arm processor."""
    assert found(environment("instances", instances={"InstanceType": kind})) == []


def test_an_update_needs_room_for_one_more_instance() -> None:
    """Equal numbers would stop every later deployment. The template's own defaults fit."""
    (line,) = found(environment("instances", instances={"MinInstances": "4"}))
    assert "got instances.MaxInstances 4 with MinInstances 4, expected 5 or more" in line


@pytest.mark.parametrize("text", ["many", "-1", "2.5"])
def test_a_number_that_is_none_is_named(text: str) -> None:
    """The message names the parameter, as for every other wrong value."""
    with pytest.raises(ValueError, match=rf"got instances\.MinInstances '{text}', expected a whole number"):
        found(environment("instances", instances={"MinInstances": text}))


def test_an_empty_catalog_is_asked_for() -> None:
    """The examples are named, because a demonstration model is no choice for production."""
    (line,) = found(environment(cluster=CIDR), catalog=None)
    assert "examples/catalogs" in line


@pytest.mark.parametrize("path", sorted((ROOT / "examples" / "catalogs").glob("*.toml")), ids=lambda path: path.stem)
def test_an_example_cannot_be_deployed_as_it_is(path: Path) -> None:
    """Its digests are zeros, and no replica would start with them."""
    lines = found(environment(cluster=CIDR), load_catalog(path))
    assert lines
    assert all("got digests of zeros for model" in line for line in lines)


def test_torchs_small_build_needs_both_of_its_settings() -> None:
    """A digest without an index stops the build of the image."""
    (line,) = found(environment(deploy={"torch_sha256": "a" * 64}, cluster=CIDR))
    assert "got one of torch_index_url and torch_sha256, expected both or none" in line


@pytest.mark.parametrize(("least", "n_warnings"), [(0, 1), (1, 1), (2, 0)])
def test_a_model_that_one_loss_stops_is_a_warning(least: int, n_warnings: int) -> None:
    """It is allowed, and said. Instances are counted by the group, not by the catalog."""
    assert len(list(warnings(environment(), with_replicas(least)))) == n_warnings
    assert list(warnings(environment("instances"), with_replicas(least))) == []
