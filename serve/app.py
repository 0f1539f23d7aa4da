"""Builds a Ray Serve application for each model of the catalog, and one for the server as a whole.

The replica of a model is the ingress of its application at `/v2/models/{model}`. The other one is at `/v2`.
`python -m serve.app` builds and runs them. All bounds come from serve.deployment_options. Imports Ray.
Must not know how a call is answered.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from ray import serve as ray_serve
from ray.serve.schema import ServeDeploySchema

from serve.application_states import answering_states, application_states, wake
from serve.deployment_options import FRONT_APPLICATION, front_options, replica_options
from serve.engine.engine import Engine
from serve.engine.fake import FakeEngine
from serve.engine.load_engine import load_engine
from serve.engine.own_heads import check_own_heads
from serve.http.callers import VERIFIERS, CallAuth
from serve.http.front_routes import FrontRoutes, ServedModel
from serve.local_cluster import run
from serve.own_heads import replica_facts, user_config
from serve.ray_metrics import front_metrics, publishing, replica_metrics
from serve.replica import Replica
from serve.rolling_update import Application
from serve.strict_config import read_strict
from shared.catalog import Catalog, Model, load_catalog
from shared.log import log_event

EngineKind = Literal["packed", "fake"]

LOOPBACK = "127.0.0.1"
MODEL_BUILDER, FRONT_BUILDER = "serve.app:model_application", "serve.app:front_application"


def build(
    catalog: Catalog,
    root: Path,
    *,
    engine: EngineKind = "packed",
    candidates: Sequence[Model] = (),
    loopback: bool = False,
    call_auth: CallAuth = "keys",
    spread: bool = False,
    download_folder: Path | None = None,
) -> list[Application]:
    """Return the applications of a catalog. `root` is the folder that relative checkpoints start from.

    `candidates` are next revisions of models in the catalog. Each gets an application of its own below
    `versions/{revision}` until it is promoted. No configuration can name it, for it is in no catalog file. With
    `loopback` no replica listens beyond this machine. Only there may `call_auth` be none. With `spread` the replicas of
    a model are on several nodes. Checkpoints from S3 and the hub are stored in `download_folder`. Raises ValueError for
    a candidate that is no new revision, for calls without tokens elsewhere, and for a name that is taken twice.
    """
    if call_auth == "none" and not loopback:
        raise ValueError("got call-auth none beyond this machine, expected keys: anyone could then call as any tenant")
    for model in candidates:
        if model.name not in catalog.models or catalog.models[model.name].revision == model.revision:
            raise ValueError(f"got candidate {model.name} {model.revision}, expected a new revision of a catalog model")
    applications = []
    for model in (*catalog.models.values(), *candidates):
        name, prefix, builder, args = model.name, f"/v2/models/{model.name}", MODEL_BUILDER, {"model": model.name}
        if model in candidates:
            name, prefix, builder = f"{name}-{model.revision}", f"{prefix}/versions/{model.revision}", ""
        packed = partial(load_engine, model, root, download_folder=download_folder)
        load = partial(FakeEngine, model) if engine == "fake" else packed
        options = replica_options(model, spread=spread)
        bound = replica(model, load, options, loopback=loopback, call_auth=call_auth, takes_heads=not spread)
        said = definition(model.model_dump_json(), options)
        applications.append(Application(name, prefix, bound, builder, args | {"engine": engine}, options, said))
    options = front_options(catalog, spread=spread)
    states = application_states if spread else answering_states
    at_front = front(catalog, options, loopback=loopback, call_auth=call_auth, states=states)
    said = definition([(each.name, each.revision, each.size_class) for each in catalog.models.values()], options)
    applications.append(Application(FRONT_APPLICATION, "/v2", at_front, FRONT_BUILDER, {}, options, said))
    names = [each.name for each in applications]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"got two applications named {twice[0]!r}, expected each name once: rename the model")
    return applications


def definition(facts: object, options: Mapping[str, Any]) -> str:
    """Return all that tells an application from another of the same name in one process: its facts and options."""
    return json.dumps([facts, options], sort_keys=True)


def front(
    catalog: Catalog,
    options: Mapping[str, Any],
    *,
    loopback: bool = False,
    call_auth: CallAuth = "keys",
    states: Callable[[], Mapping[str, str]] = application_states,
) -> Any:
    """Return the application at `/v2`, which answers for the server as a whole. `states` says what it tells of it."""
    models = tuple(ServedModel(model.name, model.revision) for model in catalog.models.values())
    kind = publishing(FrontRoutes, front_metrics(catalog))
    deployment = _deployment(kind, options, loopback=loopback)
    return deployment.bind(models, states, wake=wake, verifier=VERIFIERS[call_auth])


def replica(
    model: Model,
    load: Callable[[], Engine],
    options: Mapping[str, Any],
    *,
    loopback: bool = False,
    call_auth: CallAuth = "keys",
    takes_heads: bool = False,
) -> Any:
    """Return the application of one model. `load` loads its engine, in the process of the replica.

    With `takes_heads` a replica that runs takes the heads with checkpoints of their own from its `user_config`. Ray
    compares versions to tell whether it must start new replicas instead, and draws a random one unless it is set.
    """
    deployment = _deployment(publishing(Replica, replica_metrics), options, loopback=loopback)
    if takes_heads:
        said = definition(replica_facts(model), options)
        deployment = deployment.options(user_config=user_config(model))
        deployment._version = sha256(said.encode()).hexdigest()[:16]  # noqa: SLF001 - Ray 2.60 has no public name for it
    return deployment.bind(model, load, n_threads=model.n_threads, verifier=VERIFIERS[call_auth])


def _deployment(kind: type, options: Mapping[str, Any], *, loopback: bool) -> Any:
    return ray_serve.deployment(**options)(ray_serve.ingress()(on_loopback(kind) if loopback else kind))


def on_loopback(kind: type) -> type:
    """Return a subclass of `kind`. In the process that makes an instance, Ray opens no port beyond this machine.

    Ray 2.60 hard-codes `[::]` for a replica's inter-replica server, whatever the address of the node is.
    """

    class OnLoopback(kind):  # type: ignore[misc] # the class is a value here
        def __init__(self, *args: Any, **named: Any) -> None:
            ray_replica: Any = import_module("ray.serve._private.replica")
            add_port = ray_replica.add_port_to_grpc_server
            ray_replica.add_port_to_grpc_server = lambda server, at: add_port(server, at.replace("[::]", LOOPBACK))
            super().__init__(*args, **named)

    return OnLoopback


# The `serveConfigV2` of a cluster imports MODEL_BUILDER and FRONT_BUILDER. serve.cluster writes it.


class ModelArgs(BaseModel):
    """Arguments of `model_application`: the catalog file, one of its models, and the folder for downloaded weights.

    With `loopback` the replica opens no port beyond this machine, where several nodes are on one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    catalog: Path
    model: str
    engine: EngineKind = "packed"
    download_folder: Path | None = None
    loopback: bool = False


class FrontArgs(BaseModel):
    """Arguments of `front_application`: the catalog file, and `loopback` as for a model."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    catalog: Path
    loopback: bool = False


def model_application(raw: Mapping[str, object]) -> Any:
    """Build the application of one model from `ModelArgs`, for a Serve configuration of a cluster.

    Raises ValueError for an unknown argument. Ray would read them itself only if annotations here were no texts.
    """
    args = ModelArgs.model_validate(raw)
    model = load_catalog(args.catalog).model(args.model)
    load = partial(load_engine, model, args.catalog.parent, download_folder=args.download_folder)
    chosen = partial(FakeEngine, model) if args.engine == "fake" else load
    return replica(model, chosen, replica_options(model, spread=True), loopback=args.loopback)


def front_application(raw: Mapping[str, object]) -> Any:
    """Build the application at `/v2` from `FrontArgs`, for a Serve configuration of a cluster. Raises ValueError."""
    args = FrontArgs.model_validate(raw)
    catalog = load_catalog(args.catalog)
    return front(catalog, front_options(catalog, spread=True), loopback=args.loopback)


def read_serve_config(text: str) -> ServeDeploySchema:
    """Read a Serve configuration (`serveConfigV2`). Raises ValueError for anything that Ray would drop or refuse."""
    return read_strict(ServeDeploySchema, text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve a catalog on this machine until SIGTERM. Return 1 when it does not start.

    After SIGHUP it reads the catalog again, and serves what it says then; after SIGUSR1 also what was taken out.
    """
    parser = argparse.ArgumentParser(prog="python -m serve.app", description="Serve the models of a catalog.")
    parser.add_argument("--catalog", type=Path, default=Path("catalog.toml"))
    parser.add_argument("--host", default=LOOPBACK, help="address to listen on")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--engine", choices=["packed", "fake"], default="packed")
    parser.add_argument(
        "--call-auth",
        choices=["keys", "none"],
        default="keys",
        help="keys: answer calls signed with a key of GLOSSA_CALL_KEYS_FILE; none: answer every call, on loopback only",
    )
    parser.add_argument(
        "--temp-dir", type=Path, help="folder for Ray's session; its path must be short, it holds sockets"
    )
    parser.add_argument(
        "--download-folder", type=Path, help="folder for checkpoints from S3 and the hub; default: below the catalog"
    )
    parser.add_argument("--state-file", type=Path, help="file for the number of updates, and why the last one failed")
    options = parser.parse_args(arguments)

    def wanted() -> list[Application]:
        return build(
            load_catalog(options.catalog),
            options.catalog.resolve().parent,
            engine=options.engine,
            loopback=ipaddress.ip_address(options.host).is_loopback,
            call_auth=options.call_auth,
            download_folder=options.download_folder,
        )

    def followed() -> list[Application]:
        applications = wanted()
        for model in load_catalog(options.catalog).models.values():
            check_own_heads(model, options.catalog.resolve().parent, options.download_folder)
        return applications

    try:
        run(
            wanted(),
            host=options.host,
            port=options.port,
            temp_dir=options.temp_dir,
            reload=followed,
            state_file=options.state_file,
        )
    except (RuntimeError, ValueError) as error:
        log_event("not-serving", level="error", reason=str(error))
        return 1
    return 0


if __name__ == "__main__":
    from serve import app  # noqa: PLW0406 - Ray's workers find classes by the module's real name, not as __main__

    raise SystemExit(app.main())
