"""A Ray cluster of several nodes on this machine, with the Serve configuration that `serve.cluster` writes.

    python -m tests.serve_live.several_nodes CATALOG PORT KEYS

The nodes have the custom resources of their size classes, and GPUs that are only declared. The program deploys, asks
every model, ends one node, asks again, and prints what it saw as one line of JSON. All of it is on 127.0.0.1, so the
nodes share the port of Ray's Python proxy. HAProxy cannot: that of each node has more ports, which are fixed.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import ray
import yaml
from ray import serve as ray_serve
from ray.cluster_utils import Cluster

from serve.app import read_serve_config
from serve.cluster import served
from serve.deployment_options import SIZE_CLASS_UNITS, size_class_resource
from serve.manifests.serve_config import serve_config
from shared.call_keys import KeyFile
from shared.call_token import TOKEN_HEADER, sign
from shared.catalog import Catalog, load_catalog
from shared.messages import InferCall, Tensor
from shared.protocol import encode_call

HOST = "127.0.0.1"
NODES = (("base", 2, 0), ("base", 2, 0), ("large", 2, 1), ("xl", 2, 1))  # size class, CPUs and GPUs of each worker
WITHIN_S, POLL_S, ASK_S = 120.0, 0.2, 10.0
STEADY_ROUNDS = 40  # long enough for Ray to notice the lost replicas
HEAD = "embed"
STORE_BYTES = 80 * 2**20


def main(path: Path, port: int, keys: Path) -> None:
    """Run the cluster and print what was seen."""
    catalog = load_catalog(path)
    calls = partial(_calls, catalog, port, KeyFile(keys))
    cluster = Cluster(initialize_head=True, head_node_args=_node(0, 0, {}) | {"include_dashboard": False})
    workers = [cluster.add_node(**_node(cpus, gpus, _class(name))) for name, cpus, gpus in NODES]
    ray.init(address=cluster.address, log_to_driver=False)
    client = _deploy(catalog, path, port)
    _until(_running)
    seen: dict[str, Any] = {"placed": list(_placed(client)), "answers": _ask(calls)}
    cluster.remove_node(workers[0], allow_graceful=False)
    gone = workers[0].node_id
    _until(lambda: gone not in {node["NodeID"] for node in ray.nodes() if node["Alive"]})
    seen["answers_after"] = _steady_answers(calls)
    seen["placed_after"] = [entry for entry in _placed(client) if entry["node"] != gone]
    seen["gone"] = gone
    print(json.dumps(seen), flush=True)  # noqa: T201 - its answer
    ray_serve.shutdown()
    ray.shutdown()
    cluster.shutdown()


def _node(cpus: int, gpus: int, resources: dict[str, float]) -> dict[str, Any]:
    return {"num_cpus": cpus, "num_gpus": gpus, "resources": resources, "node_ip_address": HOST,
            "object_store_memory": STORE_BYTES}  # fmt: skip


def _class(name: str) -> dict[str, float]:
    return {size_class_resource(name): SIZE_CLASS_UNITS}


def _deploy(catalog: Catalog, path: Path, port: int) -> Any:
    """Deploy what the generator writes, read back by the strict reader as a replica of the cluster does it."""
    entries = served(catalog, path.parent, path=str(path), engine="fake")
    entries = [entry._replace(args={**entry.args, "loopback": True}) for entry in entries]
    config = read_serve_config(yaml.safe_dump(serve_config(entries, host=HOST, port=port)))
    ray_serve.start(proxy_location=str(config.proxy_location.value), http_options=config.http_options.model_dump())
    client = ray_serve.context._get_global_client()
    client.deploy_apps(config)
    return client


def _running() -> bool:
    states = {name: each.status.value for name, each in ray_serve.status().applications.items()}
    if failed := [name for name, state in states.items() if state == "DEPLOY_FAILED"]:
        raise RuntimeError(f"not deployed: {failed}: {ray_serve.status()}")
    return bool(states) and set(states.values()) == {"RUNNING"}


def _placed(client: Any) -> Iterator[dict[str, Any]]:
    """Yield for each running replica its application, its node, and the size classes of that node."""
    classes = {node["NodeID"]: [name for name in node["Resources"] if name.startswith("size_class_")]
               for node in ray.nodes() if node["Alive"]}  # fmt: skip
    for name, application in client.get_serve_details()["applications"].items():
        for deployment in application["deployments"].values():
            for replica in deployment["replicas"]:
                if replica["state"] == "RUNNING":
                    node = replica["node_id"]
                    yield {"application": name, "node": node, "classes": classes.get(node, [])}


def _calls(catalog: Catalog, port: int, keys: KeyFile) -> Iterator[tuple[str, urllib.request.Request]]:
    """Yield a question to the server, and a signed call to each model."""
    yield "", urllib.request.Request(f"http://{HOST}:{port}/v2/health/ready")
    for name in catalog.models:
        body = encode_call(InferCall(name, HEAD, Tensor.ints([0, 5, 2]), Tensor.ints([3])))
        path = f"/v2/models/{name}/infer"
        headers = {**body.headers, TOKEN_HEADER: sign(keys.keys(), "POST", path, body.data)}
        yield name, urllib.request.Request(f"http://{HOST}:{port}{path}", bytes(body.data), headers)


def _ask(calls: Callable[[], Iterator[tuple[str, urllib.request.Request]]]) -> dict[str, int]:
    """Return the status of the answer to each call; 0 where there was none."""
    return {name: _status(call) for name, call in calls()}


def _steady_answers(calls: Callable[[], Iterator[tuple[str, urllib.request.Request]]]) -> dict[str, int]:
    """Ask until a series of rounds is answered whole. The lost node may fail calls before that."""
    rounds: list[dict[str, int]] = []

    def steady() -> bool:
        rounds.append(_ask(calls))
        return len(rounds) >= STEADY_ROUNDS and all(set(each.values()) == {200} for each in rounds[-STEADY_ROUNDS:])

    _until(steady)
    return rounds[-1]


def _status(call: urllib.request.Request) -> int:
    try:
        with urllib.request.urlopen(call, timeout=ASK_S) as answer:  # noqa: S310 - our own http address
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def _until(is_so: Any) -> None:
    ends_s = time.monotonic() + WITHIN_S
    while not is_so():
        if time.monotonic() > ends_s:
            raise TimeoutError(f"not so within {WITHIN_S:.0f} s: {ray_serve.status()}")
        time.sleep(POLL_S)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
