"""The Serve configuration of `serve.cluster` on a real Ray cluster of several nodes, all of them on this machine."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest

from local.ports import ports
from local.ray_workspace import end_leftovers, environment, fresh_temp, temp_dir
from local.workspace import ROOT, Workspace

pytestmark = pytest.mark.ray

RUN_S, END_S = 400.0, 5.0  # it takes a minute on two quiet cores
ENTRY = """
[models.{name}]
family = "xlm-roberta"
checkpoint = "nowhere"
weights_sha256 = "{zeros}"
tokenizer_sha256 = "{zeros}"
size_class = "{name}"
max_tokens = 32
vocab_size = 100
replicas = {{ {replicas} }}
heads = {{ embed = {{ task = "feature-extraction" }} }}
"""
REPLICAS = {
    "base": "min = 2, max = 2, num_cpus = 0.5",
    "large": "num_cpus = 0.5, num_gpus = 0.5",
    "xl": "num_cpus = 1.0, num_gpus = 1.0",
}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Run the cluster in a process of its own, with own ports, token and folder. Return what it saw."""
    home = tmp_path_factory.mktemp("nodes")
    workspace = Workspace(ROOT, home)
    fresh_temp(workspace)
    models = [ENTRY.format(name=name, zeros="0" * 64, replicas=replicas) for name, replicas in REPLICAS.items()]
    catalog = home / "catalog.toml"
    catalog.write_text('default_model = "base"\n' + "".join(models), encoding="utf-8")
    keys = workspace.call_keys
    settings = {
        "RAY_TMPDIR": str(temp_dir(workspace)),
        "SERVE_SOCKET_REUSE_PORT_ENABLED": "1",  # the proxies of all nodes share one port here
        "GLOSSA_CALL_KEYS_FILE": str(keys),
    }
    command = [sys.executable, "-m", "tests.serve_live.several_nodes", catalog, str(ports(workspace).serve), keys]
    log = home / "nodes.log"
    try:
        with log.open("w", encoding="utf-8") as errors:
            done = subprocess.run(
                command, cwd=ROOT, env={**environment(workspace, "python"), **settings}, text=True, check=False,
                stdout=subprocess.PIPE, stderr=errors, timeout=RUN_S,
            )  # fmt: skip
    finally:
        end_leftovers(workspace, END_S)
        shutil.rmtree(temp_dir(workspace), ignore_errors=True)
    assert done.returncode == 0, log.read_text(encoding="utf-8")[-3000:]
    return json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))


def test_every_replica_is_on_a_node_of_its_class(seen: Any) -> None:
    """Each model has the name of its class here, and each of its replicas is on a node of that class alone."""
    found = Counter((entry["application"], *entry["classes"]) for entry in seen["placed"])
    assert found == {
        ("base", "size_class_base"): 2,
        ("large", "size_class_large"): 1,
        ("xl", "size_class_xl"): 1,
        ("front", "size_class_base"): 2,
    }


def test_two_replicas_are_on_two_nodes(seen: Any) -> None:
    """No node holds both replicas of a model, or both of the application at /v2."""
    for name in ("base", "front"):
        assert len({entry["node"] for entry in seen["placed"] if entry["application"] == name}) == 2


def test_requests_are_answered_before_and_after_a_node_ends(seen: Any) -> None:
    """The server and each model answer. A node of two is killed: they answer again, from the replicas that are left."""
    assert seen["answers"] == seen["answers_after"] == {"": 200, "base": 200, "large": 200, "xl": 200}
    assert seen["gone"] in {entry["node"] for entry in seen["placed"] if entry["application"] == "base"}
    left = {entry["application"] for entry in seen["placed_after"]}
    assert left == {"base", "large", "xl", "front"}
