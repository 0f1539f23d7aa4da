"""Checks that everything that is missing is named at once, with a way forward."""

from __future__ import annotations

from pathlib import Path

import pytest

from glossa.deployment.environment import DeploySettings, Environment
from glossa.deployment.fake import FakeAccount
from glossa.deployment.preflight import G_QUOTA, needed_gpus, preflight
from glossa.deployment.templates import Link
from shared.catalog import Catalog, Replicas, load_catalog

ROOT = Path(__file__).parents[4]
CATALOG = load_catalog(ROOT / "catalog.toml")
DIGEST = "sha256:" + "0" * 64
LINKS = {"network": Link({"A": "1"}, (), ())}


def environment(**settings: str) -> Environment:
    """Return an environment on a cluster that lacks nothing."""
    given = {"region": "eu-central-1", "platform": "cluster", "base_digest": DIGEST, **settings}
    return Environment(name="dev", deploy=DeploySettings.model_validate(given), parameters={})


def on_gpus(maximum: int, share: float) -> Catalog:
    """Return a catalog whose model has up to `maximum` replicas with a share of a GPU each."""
    model = CATALOG.model("mini").model_copy(update={"replicas": Replicas(max=maximum, num_gpus=share)})
    return CATALOG.model_copy(update={"models": {"mini": model}})


def found(
    catalog: Catalog = CATALOG, account: FakeAccount | None = None, unfilled: tuple[str, ...] = (), **changes: object
) -> list[str]:
    """Return what is missing, as sentences."""
    links = changes.get("links", LINKS)
    assert isinstance(links, dict)
    where = environment(**{name: str(value) for name, value in changes.items() if name != "links"})
    asked = account or FakeAccount()
    missing = preflight(where, links, catalog, account=asked, which=lambda name: f"/bin/{name}", unfilled=unfilled)
    return [str(each) for each in missing]


def test_nothing_is_missing_where_everything_is_there() -> None:
    """An account, all programs, all parameters and a digest are enough."""
    assert found() == []


def test_every_missing_program_is_named_at_once() -> None:
    """A cluster needs four programs; a reader installs all of them before the next try."""
    missing = preflight(environment(), LINKS, CATALOG, account=FakeAccount(), which=lambda _: None)
    assert [each.found for each in missing] == [f"no program {name}" for name in ("aws", "kubectl", "helm", "docker")]


def test_instances_need_an_image_builder_alone() -> None:
    """Without Kubernetes neither kubectl nor helm is asked for."""
    missing = preflight(
        environment(platform="instances", image_builder="podman"),
        LINKS,
        CATALOG,
        account=FakeAccount(),
        which=lambda _: None,
    )
    assert [each.found for each in missing] == ["no program podman"]


def test_missing_credentials_name_a_way_to_sign_in() -> None:
    """Without credentials the region is named, and a command that helps."""
    (line,) = found(account=FakeAccount(number=None))
    assert "got no AWS credentials that work" in line
    assert "eu-central-1" in line
    assert "aws sso login" in line


def test_a_parameter_without_a_value_names_its_place() -> None:
    """The file and the table into which the value belongs are named."""
    (line,) = found(links={"cluster": Link({}, ("KubernetesVersion",), ())})
    assert line == (
        "got no value for cluster.KubernetesVersion, expected one; "
        "write it into [cluster] of infra/environments/dev.toml"
    )


def test_a_value_for_no_parameter_is_named() -> None:
    """A misspelt parameter is found before anything is created."""
    (line,) = found(links={"cluster": Link({}, (), ("Kubernetes",))})
    assert "got cluster.Kubernetes, expected a parameter of the template" in line


@pytest.mark.parametrize("digest", ["", "latest", "sha256:12", "md5:" + "0" * 64, "sha256:${" + "x" * 61 + "}"])
def test_an_image_starts_from_a_digest(digest: str) -> None:
    """A tag can be moved, so only a whole digest is taken."""
    (line,) = found(base_digest=digest)
    assert "expected sha256:" in line


def test_gpus_are_counted_by_shares() -> None:
    """Five replicas of half a GPU take three GPUs."""
    assert needed_gpus(on_gpus(5, 0.5)) == 3
    assert needed_gpus(CATALOG) == 0


def test_a_quota_that_is_too_small_is_named() -> None:
    """Three GPUs take machines of 12 vCPUs."""
    (line,) = found(on_gpus(3, 1.0), FakeAccount(quotas={G_QUOTA: 8.0}))
    assert "got a quota of 8 vCPUs for G instances, expected 12 or more" in line
    assert found(on_gpus(3, 1.0), FakeAccount(quotas={G_QUOTA: 12.0})) == []


def test_a_quota_that_cannot_be_read_stops_nobody() -> None:
    """A role that may not read quotas may still deploy."""
    assert found(on_gpus(3, 1.0), FakeAccount()) == []


def test_a_name_of_a_manifest_that_nothing_fills_is_missing() -> None:
    """A placeholder without a value is found before anything is created."""
    (line,) = found(unfilled=("CertificateArn",))
    assert "got no value for CertificateArn, which a manifest asks for" in line


def test_an_empty_region_is_asked_for_and_no_account_is() -> None:
    """Without a region there is no account to ask."""
    (line,) = found(account=FakeAccount(number=None), region="")
    assert "got no region, expected one" in line


def test_a_value_that_asks_for_an_unknown_name_is_missing() -> None:
    """Otherwise a deployment would stop in its middle."""
    missing = preflight(
        environment(), LINKS, CATALOG, account=FakeAccount(), which=lambda name: f"/bin/{name}", unknown=("Nope",)
    )
    (line,) = map(str, missing)
    assert "got ${Nope} in a value, expected the name of an output of an earlier stack" in line
