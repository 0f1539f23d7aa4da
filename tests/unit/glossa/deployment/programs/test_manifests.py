"""Checks how the placeholders of manifests are filled."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from glossa.deployment.programs.manifests import config_map, fill_folder, placeholders
from local.workspace import ROOT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of two manifests that ask for two values."""
    made = tmp_path / "kubernetes"
    made.mkdir()
    (made / "a.yaml").write_text("arn: ${CertificateArn}\nkept: $HOME\n", encoding="utf-8")
    (made / "b.yaml").write_text("cidr: ${VpcCidr}\n", encoding="utf-8")
    return made


def test_every_manifest_is_filled(folder: Path, tmp_path: Path) -> None:
    """A `${NAME}` becomes its value; other dollars stay."""
    paths = fill_folder(folder, tmp_path / "out", {"CertificateArn": "arn:x", "VpcCidr": "10.0.0.0/16"})
    assert [path.name for path in paths] == ["a.yaml", "b.yaml"]
    assert paths[0].read_text(encoding="utf-8") == "arn: arn:x\nkept: $HOME\n"
    assert placeholders(folder) == {"CertificateArn", "VpcCidr"}


def test_nothing_is_written_when_a_value_is_missing(folder: Path, tmp_path: Path) -> None:
    """A missing value is named with its file, and the old manifests stay."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "old.yaml").touch()
    with pytest.raises(ValueError, match=r"b.yaml: expected values for VpcCidr"):
        fill_folder(folder, out, {"CertificateArn": "arn:x"})
    assert [path.name for path in out.iterdir()] == ["old.yaml"]


def test_manifests_of_an_earlier_deployment_do_not_stay(folder: Path, tmp_path: Path) -> None:
    """A manifest that was taken out of the repository is not applied any more."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "old.yaml").touch()
    fill_folder(folder, out, {"CertificateArn": "a", "VpcCidr": "b"})
    assert not (out / "old.yaml").exists()


def test_the_catalog_is_a_config_map() -> None:
    """The text of the catalog reaches the replicas unchanged, and nothing changes it below them."""
    made = json.loads(config_map(b'a = "${b}"\r\n'))
    assert made["data"] == {"catalog.toml": 'a = "${b}"\r\n'}
    assert made["immutable"] is True


def test_each_catalog_has_its_own_config_map() -> None:
    """Another catalog leaves the old map as it is. The pods of the RayService mount the map of their catalog."""
    service = yaml.safe_load((ROOT / "infra/kubernetes/rayservice.yaml").read_text(encoding="utf-8"))
    catalog = (ROOT / "examples/catalogs/xl-on-l40s.toml").read_bytes()
    name = json.loads(config_map(catalog))["metadata"]["name"]
    cluster = service["spec"]["rayClusterConfig"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        volumes = group["template"]["spec"]["volumes"]
        assert [volume["configMap"]["name"] for volume in volumes if "configMap" in volume] == [name]
    assert json.loads(config_map(catalog + b"# more"))["metadata"]["name"] != name
