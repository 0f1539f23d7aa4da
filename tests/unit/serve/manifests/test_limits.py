"""A cluster that does not fit twice into its limits is refused before anything is written, whatever the catalog."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.workspace import ROOT
from serve import cluster
from serve.manifests.limits import FILES, beyond, quantity, read_limits

FOLDER = ROOT / "infra" / "kubernetes"
EXAMPLES = ROOT / "examples" / "catalogs"
CPU, GPU = "registry.example/glossa:0.1.0-ray2.60.0-cpu", "registry.example/glossa:0.1.0-ray2.60.0-cuda"


@pytest.fixture(scope="module")
def service() -> Any:
    """Read the committed manifest."""
    return yaml.safe_load((ROOT / cluster.OUT).read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("requests.cpu", "156", "ask for 157 of cpu, expected at most 156 by ResourceQuota glossa; raise it in limits"),
        ("requests.memory", "497Gi", "ask for 498Gi of memory"),
        ("requests.nvidia.com/gpu", "17", "ask for 18 of nvidia.com/gpu"),
        ("pods", "33", "ask for 34 of pods"),
    ],
)
def test_a_quota_that_is_too_small_is_found(service: Any, name: str, value: str, said: str) -> None:
    """Two heads with their autoscalers, and all workers of two clusters count. One less than that is reported."""
    quota = {"kind": "ResourceQuota", "metadata": {"name": "glossa"}, "spec": {"hard": {name: value}}}
    assert said in next(beyond(service, [quota]))
    quota["spec"] = {"hard": {name: value.replace(value.rstrip("Gi"), str(int(value.rstrip("Gi")) + 1))}}
    assert list(beyond(service, [quota])) == []


def test_machines_of_a_size_class_count_for_it_alone(service: Any) -> None:
    """More workers of class xl break the limit of its machines, and of no other class."""
    more = copy.deepcopy(service)
    more["spec"]["rayClusterConfig"]["workerGroupSpecs"][2]["maxReplicas"] = 5
    (said,) = beyond(more, read_limits(FOLDER))
    assert "ask for 10 of nvidia.com/gpu, expected at most 8 by NodePool glossa-xl; raise it in nodes.yaml" in said


def test_the_generator_refuses_a_catalog_that_does_not_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says which number to raise, and writes nothing. Every example fits."""
    for name in FILES:
        shutil.copy(FOLDER / name, tmp_path)
    catalog, out = tmp_path / "catalog.toml", tmp_path / "rayservice.yaml"
    text = (EXAMPLES / "base-on-cpu.toml").read_text(encoding="utf-8")
    catalog.write_text(text.replace("max = 6", "max = 60"), encoding="utf-8")
    assert cluster.main(["--catalog", str(catalog), "--image", CPU, "--out", str(out)]) == 1
    assert "of cpu, expected at most 400 by ResourceQuota glossa; raise it in limits.yaml" in capsys.readouterr().err
    assert not out.exists()
    for example in EXAMPLES.iterdir():
        made = cluster.manifest(example, image=CPU, gpu_image=GPU)
        assert list(beyond(made, read_limits(FOLDER))) == [], example.name


def test_quantities() -> None:
    """The units that our manifests use are read, and another one is refused."""
    assert [quantity(each) for each in ("500m", "7", 7, "1Ti")] == [0.5, 7.0, 7.0, 2.0**40]
    with pytest.raises(ValueError, match="got quantity '1iG', expected a number with one of"):
        quantity("1iG")
