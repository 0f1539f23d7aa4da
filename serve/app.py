"""The catalog as Ray Serve applications: all wiring, every bound set here; runs them with `python -m serve.app`.

One application a model, its replica the ingress, and the front at `/v2`. With `serve.replica`
the only place that speaks Ray. Must not know how a call is answered.
"""

from __future__ import annotations

import argparse
import ipaddress
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, NamedTuple

import ray
from pydantic import BaseModel, ConfigDict
from ray import serve as ray_serve
from ray.serve.config import HTTPOptions
from ray.serve.schema import ServeDeploySchema

from serve.deployment_options import (
    DRAIN_S,
    DRAIN_STEP_S,
    FRONT,
    KEEP_ALIVE_S,
    REQUEST_TIMEOUT_S,
    front_options,
    replica_options,
    total_cpus,
)
from serve.engine.fake import FakeEngine
from serve.engine.load_engine import load_engine
from serve.http.server_routes import Entry, ServerRoutes
from serve.replica import Replica
from serve.strict_config import read_strict
from shared.catalog import Catalog, Model, load_catalog
from shared.log import log_event

EngineKind = Literal["packed", "fake"]

LOOPBACK = "127.0.0.1"
OBJECT_STORE_BYTES = 100 * 2**20  # nothing large travels through it


class Application(NamedTuple):
    """One application as Serve runs it."""

    name: str
    route_prefix: str
    application: Any


def build(
    catalog: Catalog,
    root: Path,
    *,
    engine: EngineKind = "packed",
    candidates: Sequence[Model] = (),
    loopback: bool = False,
) -> list[Application]:
    """Return the applications of a catalog; `root` is its folder.

    With `loopback` no replica listens beyond this machine.

    `candidates` are next revisions of its models: each gets an application of its own below
    `versions/{revision}` until it is promoted. Raises ValueError for one that is no new revision.
    """
    for model in candidates:
        if model.name not in catalog.models or catalog.models[model.name].revision == model.revision:
            raise ValueError(f"got candidate {model.name} {model.revision}, expected a new revision of a catalog model")
    served = []
    for model in (*catalog.models.values(), *candidates):
        name, prefix = model.name, f"/v2/models/{model.name}"
        if model in candidates:
            name, prefix = f"{name}-{model.revision}", f"{prefix}/versions/{model.revision}"
        served.append(Application(name, prefix, replica(model, root, engine, loopback=loopback)))
    return [*served, Application(FRONT, "/v2", front(catalog, loopback=loopback))]


def front(catalog: Catalog, *, loopback: bool = False) -> Any:
    """Return the application at `/v2`."""
    entries = tuple(Entry(model.name, model.name, model.revision) for model in catalog.models.values())
    return _deployment(ServerRoutes, front_options(), loopback=loopback).bind(entries, ask_states())


def replica(model: Model, root: Path, kind: EngineKind, *, loopback: bool = False) -> Any:
    """Return the application of one model."""
    load = partial(FakeEngine, model) if kind == "fake" else partial(load_engine, model, root)
    return _deployment(Replica, replica_options(model), loopback=loopback).bind(model, load, n_threads=model.n_threads)


def _deployment(kind: type, options: Mapping[str, Any], *, loopback: bool) -> Any:
    return ray_serve.deployment(**options)(ray_serve.ingress()(on_loopback(kind) if loopback else kind))


def on_loopback(kind: type) -> type:
    """Return `kind`, made so that the process it is made in opens no port beyond this machine.

    Ray 2.60 has `[::]` written into a replica's inter-replica server, whatever the node's address.
    """

    class OnLoopback(kind):  # type: ignore[misc] # the class is a value here
        def __init__(self, *args: Any, **named: Any) -> None:
            inside: Any = import_module("ray.serve._private.replica")
            add_port = inside.add_port_to_grpc_server
            inside.add_port_to_grpc_server = lambda server, at: add_port(server, at.replace("[::]", LOOPBACK))
            super().__init__(*args, **named)

    return OnLoopback


def ask_states() -> Callable[[], Mapping[str, str]]:
    """Return what says the state of each application by name, as Serve's controller knows it; it blocks.

    Made inside a function so that it travels by value: the front's process then loads no torch.
    """

    def states() -> Mapping[str, str]:
        return {name: str(status.status.value) for name, status in ray_serve.status().applications.items()}

    return states


# For `serveConfigV2` of a cluster: import_path `serve.app:model_application` or `serve.app:front_application`.


class ModelArgs(BaseModel):
    """Arguments of `model_application`: the catalog file and one of its models."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    catalog: Path
    model: str
    engine: EngineKind = "packed"


class FrontArgs(BaseModel):
    """Arguments of `front_application`: the catalog file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    catalog: Path


def model_application(args: ModelArgs) -> Any:
    """Build one model's application from a Serve configuration."""
    return replica(load_catalog(args.catalog).model(args.model), args.catalog.parent, args.engine)


def front_application(args: FrontArgs) -> Any:
    """Build the front from a Serve configuration."""
    return front(load_catalog(args.catalog))


def read_serve_config(text: str) -> ServeDeploySchema:
    """Read a Serve configuration (`serveConfigV2`). Raises ValueError for anything that Ray would drop or refuse."""
    return read_strict(ServeDeploySchema, text)


def run(served: Sequence[Application], *, host: str, port: int, num_cpus: int, temp_dir: Path | None) -> None:
    """Start Ray on this machine with Serve on `host:port`, run the applications, and return after SIGTERM or SIGINT.

    In-flight calls are finished on the way out. Raises RuntimeError when an application does not start.
    """
    stopped = threading.Event()
    ray.init(
        address="local",
        num_cpus=num_cpus,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=OBJECT_STORE_BYTES,
        _node_ip_address=host,
        _temp_dir=None if temp_dir is None else str(temp_dir),
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    try:
        http = HTTPOptions(host=host, port=port, request_timeout_s=REQUEST_TIMEOUT_S, keep_alive_timeout_s=KEEP_ALIVE_S)
        ray_serve.start(proxy_location="HeadOnly", http_options=http)
        targets = [ray_serve.RunTarget(target=a.application, name=a.name, route_prefix=a.route_prefix) for a in served]
        _deploy(targets)
        log_event("serving", url_host=f"{host}:{port}", count=len(served))
        stopped.wait()
        _drain()
    finally:
        ray_serve.shutdown()  # type: ignore[no-untyped-call] # Ray annotates most of its functions, not this one
        ray.shutdown()


def _deploy(targets: Sequence[ray_serve.RunTarget]) -> None:
    """Run the applications and wait for them. Raises RuntimeError with the reason each one that failed gives."""
    try:
        ray_serve.run_many(targets)
    except RuntimeError:
        said = [f"{name}: {line}" for name, line in _complaints()]
        raise RuntimeError("; ".join(said) or "the applications did not start") from None


def _drain() -> None:
    """Take all applications down and wait until their calls in flight are answered.

    Serve's own shutdown would end the proxies with the calls still in them.
    """
    for name in ray_serve.status().applications:
        ray_serve.delete(name, _blocking=False)
    ends_s = time.monotonic() + DRAIN_S
    while ray_serve.status().applications and time.monotonic() < ends_s:
        time.sleep(DRAIN_STEP_S)


def _complaints() -> Iterator[tuple[str, str]]:
    """Yield each application that does not run, and the last line its deployments say about it."""
    for name, status in ray_serve.status().applications.items():
        for deployment in status.deployments.values():
            if lines := deployment.message.strip().splitlines():
                yield name, lines[-1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve a catalog on this machine until SIGTERM; return 1 when it does not start."""
    parser = argparse.ArgumentParser(prog="python -m serve.app", description="Serve the models of a catalog.")
    parser.add_argument("--catalog", type=Path, default=Path("catalog.toml"))
    parser.add_argument("--host", default=LOOPBACK, help="address to listen on")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--engine", choices=["packed", "fake"], default="packed")
    parser.add_argument("--temp-dir", type=Path, help="Ray's session folder; short, since sockets lie in it")
    asked = parser.parse_args(arguments)
    catalog = load_catalog(asked.catalog)
    loopback = ipaddress.ip_address(asked.host).is_loopback
    served = build(catalog, asked.catalog.resolve().parent, engine=asked.engine, loopback=loopback)
    try:
        run(served, host=asked.host, port=asked.port, num_cpus=total_cpus(catalog), temp_dir=asked.temp_dir)
    except RuntimeError as error:
        log_event("not-serving", level="error", reason=str(error))
        return 1
    return 0


if __name__ == "__main__":
    from serve import app  # noqa: PLW0406 - Ray's workers find classes by the module's real name, not as __main__

    raise SystemExit(app.main())
