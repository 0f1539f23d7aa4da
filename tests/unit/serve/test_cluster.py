"""The committed manifest and those of the examples: nothing drifts from `build`, and a bad catalog is refused."""

from __future__ import annotations

import re
import shlex
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from local.workspace import ROOT
from serve import cluster
from serve.app import build, read_serve_config
from serve.manifests.pods import USER
from shared.catalog import load_catalog

EXAMPLES = ROOT / "examples" / "catalogs"
CPU, GPU = "registry.example/glossa:0.1.0-ray2.60.0-cpu", "registry.example/glossa:0.1.0-ray2.60.0-cuda"
# For each example the groups: class, GPUs of a worker, least and most workers. One more than needed is spare.
GROUPS = {
    "base-on-cpu": [("base", "0", 2, 7)],
    "large-on-l4": [("base", "0", 2, 7), ("large", "1", 2, 5)],
    "xl-on-l40s": [("base", "0", 2, 7), ("large", "1", 2, 5), ("xl", "1", 2, 4)],
    "scale-to-zero": [("base", "0", 1, 5), ("large", "1", 0, 3), ("xl", "1", 0, 3)],
}
SHARES = {"xlm-roberta-base": 0.0, "entities": 0.5, "xlm-roberta-xl": 1.0}


def _made(name: str) -> Any:
    return cluster.manifest(EXAMPLES / f"{name}.toml", image=CPU, gpu_image=GPU)


def _change(tmp_path: Path, old: str, new: str, name: str = "large-on-l4") -> Path:
    text = (EXAMPLES / f"{name}.toml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "catalog.toml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    return path


def test_the_committed_manifest_is_what_the_generator_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command in its header writes it again, byte for byte."""
    monkeypatch.chdir(ROOT)
    committed = cluster.OUT.read_text(encoding="utf-8")
    command = shlex.split(committed.splitlines()[1].removeprefix("# "))
    assert command[:3] == ["python", "-m", "serve.cluster"]
    again = tmp_path / "rayservice.yaml"
    assert cluster.main([*command[3:], "--out", str(again)]) == 0
    written = again.read_text(encoding="utf-8").splitlines()
    assert written[1].startswith(committed.splitlines()[1])
    assert written[2:] == committed.splitlines()[2:]


def test_a_changed_catalog_is_drift(tmp_path: Path) -> None:
    """Another number of replicas gives another configuration, other groups, and other pods."""
    path = _change(tmp_path, "max = 6", "max = 8", "base-on-cpu")
    old, new = _made("base-on-cpu")["spec"], cluster.manifest(path, image=CPU)["spec"]
    assert old["serveConfigV2"] != new["serveConfigV2"]
    assert new["rayClusterConfig"]["workerGroupSpecs"][0]["maxReplicas"] == 9
    path.write_text((EXAMPLES / "base-on-cpu.toml").read_text(encoding="utf-8") + "# more\n", encoding="utf-8")
    same = cluster.manifest(path, image=CPU)["spec"]
    assert old["serveConfigV2"] == same["serveConfigV2"]
    assert old["rayClusterConfig"] != same["rayClusterConfig"], "running pods would keep the old catalog"


@pytest.mark.parametrize("name", GROUPS)
def test_each_example_makes_its_cluster(name: str) -> None:
    """The groups have the workers and GPUs that the replicas need; groups with GPUs run the image for GPUs."""
    groups = _made(name)["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    found = [(g["groupName"], g["rayStartParams"]["num-gpus"], g["minReplicas"], g["maxReplicas"]) for g in groups]
    assert found == GROUPS[name]
    for group in groups:
        image = group["template"]["spec"]["containers"][0]["image"]
        assert image == (CPU if group["rayStartParams"]["num-gpus"] == "0" else GPU)
    assert {f"{name}.toml" for name in GROUPS} == {path.name for path in EXAMPLES.iterdir()}


@pytest.mark.parametrize("name", GROUPS)
def test_the_configuration_is_what_build_sets(name: str) -> None:
    """Applications, prefixes and every option of a deployment are those of `serve.app.build`, in Ray's own objects."""
    read = read_serve_config(_made(name)["spec"]["serveConfigV2"])
    catalog = load_catalog(EXAMPLES / f"{name}.toml")
    built = build(catalog, ROOT, spread=True)
    assert [(app.name, app.route_prefix) for app in read.applications] == [
        (app.name, app.route_prefix) for app in built
    ]
    for app, expected in zip(read.applications, built, strict=True):
        (written,) = app.deployments
        deployment = expected.application._bound_deployment
        config, replica = deployment._deployment_config, deployment._replica_config
        assert written.name == deployment.name
        assert written.max_queued_requests == config.max_queued_requests > 0
        assert written.max_ongoing_requests == config.max_ongoing_requests
        assert written.backpressure_config.status_code == config.backpressure_config.status_code == 429
        assert written.graceful_shutdown_timeout_s == config.graceful_shutdown_timeout_s
        assert written.max_replicas_per_node == replica.max_replicas_per_node or not replica.max_replicas_per_node
        assert written.ray_actor_options.resources == deployment.ray_actor_options["resources"]
        assert written.ray_actor_options.num_cpus == deployment.ray_actor_options["num_cpus"]
        scaling = config.autoscaling_config
        if scaling is not None:
            assert (written.autoscaling_config["min_replicas"], written.autoscaling_config["max_replicas"]) == (
                scaling.min_replicas, scaling.max_replicas,
            )  # fmt: skip
        if (share := SHARES.get(app.name)) is not None:
            assert written.ray_actor_options.num_gpus == share


@pytest.mark.parametrize("name", [name for name in GROUPS if name != "scale-to-zero"])
def test_examples_for_production_have_two_of_everything(name: str) -> None:
    """Each application always has two replicas, on two nodes. The example that rests at zero may have one at /v2."""
    for app in read_serve_config(_made(name)["spec"]["serveConfigV2"]).applications:
        (deployment,) = app.deployments
        scaling = deployment.autoscaling_config
        assert (scaling["min_replicas"] if isinstance(scaling, dict) else deployment.num_replicas) >= 2
        assert deployment.max_replicas_per_node == 1


def test_one_version_of_ray() -> None:
    """The manifest, the tag of the images, the lock and the installed library name the same version of Ray."""
    locked = re.findall(r"^ray(?:\[serve\])?==(\S+)", (ROOT / "requirements" / "venv.txt").read_text(), re.MULTILINE)
    made = _made("base-on-cpu")["spec"]["rayClusterConfig"]
    assert [made["rayVersion"]] == locked == [version("ray")]
    assert tuple(map(int, made["rayVersion"].split("."))) >= (2, 52)


DIGEST = f"sha256:{'0' * 64}"


@pytest.mark.parametrize("image", [CPU, f"{CPU}@{DIGEST}", f"registry.example:5000/glossa@{DIGEST}"])
def test_an_image_that_never_moves_is_taken(image: str) -> None:
    """A tag with the version of Ray does, and so does a digest."""
    cluster.check_image(image)


@pytest.mark.parametrize(
    "image",
    [
        "glossa",
        "glossa:latest",
        "localhost:5000/glossa",
        "glossa@sha256:short",
        "glossa:0.1.0-ray2.59.0-cpu",
        f"glossa:0.1.0-ray2.59.0-cpu@{DIGEST}",
    ],
)
def test_an_image_that_may_be_another_is_refused(image: str) -> None:
    """An image without tag and digest is refused, and one whose tag names another version of Ray or none."""
    with pytest.raises(ValueError, match=f"got image '{image}', expected a digest, or a tag with -ray2.60.0"):
        cluster.check_image(image)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("num_gpus = 0.5", "num_gpus = 2.0", "got 2 GPUs for a replica of xlm-roberta-large, expected at most 1"),
        ("num_gpus = 0.5", "num_gpus = 1.5", "got 1.5 GPUs for a replica of"),
        ("num_cpus = 6.0", "num_cpus = 16.0", "got 16 CPUs for a replica of xlm-roberta-base, expected at most 7"),
        ('size_class = "large"', 'size_class = "huge"', "size_class: got 'huge', expected 'base', 'large' or 'xl'"),
        ("max = 4", "max = 0", "replicas.max: got 0, expected greater than or equal to 1"),
        ("max = 4", "max = 1", "got min 2 and max 1, expected min to be at most max"),
    ],
)
def test_a_catalog_that_cannot_be_placed_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, said: str
) -> None:
    """The command writes nothing, returns 1, and says what came and what was expected."""
    out = tmp_path / "out.yaml"
    path = _change(tmp_path, old, new)
    given = ["--catalog", str(path), "--image", CPU, "--gpu-image", GPU, "--out", str(out)]
    assert cluster.main(given) == 1
    assert not out.exists()
    with pytest.raises(ValueError, match=said):
        raise ValueError(capsys.readouterr().err)


def test_the_image_has_what_the_manifest_names() -> None:
    """The image writes the wrapper of HAProxy where the pods look for it, for all addresses, and has the same user."""
    text = (ROOT / "infra" / "image" / "Dockerfile").read_text(encoding="utf-8")
    assert f"python -m serve.ingress {cluster.WRAPPER} --bind all" in text
    assert f"useradd --uid {USER} " in text
    assert f"ray{version('ray')}-" in text


@pytest.mark.parametrize("image", ["", f"@{DIGEST}", f"a b@{DIGEST}", f"a\nb@{DIGEST}", f"$(id)@{DIGEST}", f"{CPU}@x"])
def test_a_text_that_is_no_image_is_refused(image: str) -> None:
    """Kubernetes would refuse the pod only when the cluster is there."""
    with pytest.raises(ValueError, match=r"got image .*, expected"):
        cluster.check_image(image)


@pytest.mark.parametrize("address", ["", "redis", "a\nb:1", "${RedisAddress}", "http://redis:6379"])
def test_redis_has_a_host_and_a_port(address: str) -> None:
    """Anything else is refused with both forms."""
    with pytest.raises(ValueError, match="expected host:port, or rediss://host:port"):
        cluster.manifest(EXAMPLES / "large-on-l4.toml", image=CPU, gpu_image=GPU, redis_address=address)


def test_gpus_need_their_image() -> None:
    """Without an image for GPUs, a catalog that uses them is refused: the other image would run on their CPUs."""
    with pytest.raises(ValueError, match=r"got no image for GPUs, expected --gpu-image: .*large"):
        cluster.manifest(EXAMPLES / "large-on-l4.toml", image=CPU)


def test_a_worker_can_be_another_machine() -> None:
    """Workers of class xl with an H100 each get what the command says."""
    made = cluster.manifest(
        EXAMPLES / "xl-on-l40s.toml", image=CPU, gpu_image=GPU,
        shapes={**cluster.SHAPES, **dict([cluster.parse_shape("xl=15,200,1")])},
    )  # fmt: skip
    xl = made["spec"]["rayClusterConfig"]["workerGroupSpecs"][-1]["template"]["spec"]["containers"][0]["resources"]
    assert (xl["limits"]["cpu"], xl["limits"]["memory"], xl["limits"]["nvidia.com/gpu"]) == ("15", "200Gi", "1")


def test_one_replica_is_warned_about(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command names each model that one crash would silence. Those that rest at zero, or have two, it does not."""
    path = _change(tmp_path, "min = 2, max = 6", "min = 1, max = 6")
    given = ["--image", CPU, "--gpu-image", GPU, "--out", str(tmp_path / "out.yaml")]
    assert cluster.main(["--catalog", str(path), *given]) == 0
    assert capsys.readouterr().err == (
        "warning: xlm-roberta-base has one replica, and no answer while it starts again; for production expected 2 or"
        " more\n"
    )
    assert cluster.main(["--catalog", str(EXAMPLES / "scale-to-zero.toml"), *given]) == 0
    assert capsys.readouterr().err == ""
