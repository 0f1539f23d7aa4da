"""Checks that everything that is missing is named at once, with a way forward."""

from __future__ import annotations

import pytest

from glossa.deployment.environment import DeploySettings, Environment
from glossa.deployment.fake import FakeAccount
from glossa.deployment.preflight import preflight
from glossa.deployment.templates import Link

DIGEST = "sha256:" + "0" * 64
LINKS = {"network": Link({"A": "1"}, (), ())}


def environment(**settings: str) -> Environment:
    """Return an environment on a cluster that lacks nothing."""
    given = {"region": "eu-central-1", "platform": "cluster", "base_digest": DIGEST, **settings}
    return Environment(name="dev", deploy=DeploySettings.model_validate(given), parameters={})


def found(account: FakeAccount | None = None, unfilled: tuple[str, ...] = (), **changes: object) -> list[str]:
    """Return what is missing, as sentences."""
    links = changes.get("links", LINKS)
    assert isinstance(links, dict)
    where = environment(**{name: str(value) for name, value in changes.items() if name != "links"})
    asked = account or FakeAccount()
    missing = preflight(where, links, account=asked, which=lambda name: f"/bin/{name}", unfilled=unfilled)
    return [str(each) for each in missing]


def test_nothing_is_missing_where_everything_is_there() -> None:
    """An account, all programs, all parameters and a digest are enough."""
    assert found() == []


def test_every_missing_program_is_named_at_once() -> None:
    """A cluster needs four programs; a reader installs all of them before the next try."""
    missing = preflight(environment(), LINKS, account=FakeAccount(), which=lambda _: None)
    assert [each.found for each in missing] == [f"no program {name}" for name in ("aws", "kubectl", "helm", "docker")]


def test_instances_need_an_image_builder_alone() -> None:
    """Without Kubernetes neither kubectl nor helm is asked for."""
    missing = preflight(
        environment(platform="instances", image_builder="podman"),
        LINKS,
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
        environment(), LINKS, account=FakeAccount(), which=lambda name: f"/bin/{name}", unknown=("Nope",)
    )
    (line,) = map(str, missing)
    assert "got ${Nope} in a value, expected the name of an output of an earlier stack" in line


def test_the_certificate_has_one_place() -> None:
    """A stack and a manifest ask for the same key of [deploy]; no table of values is named."""
    place = "write certificate_arn into [deploy] of infra/environments/dev.toml"
    assert found(unfilled=("CertificateArn",))[0].endswith(place)
    assert found(links={"instances": Link({}, ("CertificateArn",), ())})[0].endswith(place)


def test_the_role_of_the_cluster_must_be_one_that_we_can_take() -> None:
    """The cluster admits this role alone, so kubectl would be refused after half an hour."""
    role = "arn:aws:iam::123456789012:role/admin"
    given = environment().model_copy(update={"parameters": {"cluster": {"AdminRoleArn": role}}})

    def lines(*, admits: bool) -> list[str]:
        account = FakeAccount(admits=admits)
        return [str(each) for each in preflight(given, LINKS, account=account, which=lambda name: name)]

    (line,) = lines(admits=False)
    assert f"got credentials that cannot take the role {role}" in line
    assert lines(admits=True) == []
