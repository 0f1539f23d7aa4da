"""Starts and ends Ray Serve for this checkout, on 127.0.0.1, and waits until its models are ready.

    python -m local.model_server start | stop | status [--catalog FILE] [--engine fake] [--call-auth none]

Two workspaces have two servers, which do not see each other. Must not know more of models than their names.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local import processes
from local.build import digest
from local.ports import ports
from local.ray_workspace import (
    REPLICA_PORTS,
    Ingress,
    check_fits,
    default_ingress,
    end_leftovers,
    environment,
    fresh_temp,
    temp_dir,
)
from local.workspace import Workspace, read_json, this_workspace, write_json
from shared.catalog import load_catalog, parse_catalog

NAME = "serve"
LOADED, STATE = "serve.json", "serve-state.json"  # what it was started with; what it says of its updates
FOLLOWED = {"catalog": "", "removed": ""}  # of LOADED: what a running server follows
CODE = ("serve", "shared")
LOCKS = ("requirements/venv.txt",)
START_S, MODEL_S = 240.0, 15.0  # the longest wait, and what each model adds to it
UPDATE_S = 1800.0  # the longest wait for an update; the server bounds the time of each application itself
POLL_S = 0.3
ASK_S = 5.0
END_S = 10.0


def start(
    workspace: Workspace,
    catalog: Path | None = None,
    *,
    engine: str = "packed",
    ingress: Ingress | None = None,
    call_auth: str = "keys",
    metrics: bool = False,
    keep_removed: bool = False,
) -> str:
    """Start Ray Serve unless it runs, and wait until every model is ready; print each step and return its address.

    A server that runs with another engine, ingress or code is ended first. One that runs with another catalog follows
    it: models that have not changed answer throughout. The catalog has the digests of the weights, so new weights count
    as well. With `keep_removed` models that were taken out of it go on until the next call without. It answers calls
    that are signed with a key of this workspace, with `call_auth` none every call. With `metrics` it offers them to
    Prometheus. Raises RuntimeError with the end of its log when it does not get ready, with the reason when it does not
    follow the catalog, and when the catalog has more replicas than there are ports.
    """
    url = address(workspace)
    path = catalog or workspace.root / "catalog.toml"
    started_s = time.monotonic()
    chosen = ingress or default_ingress()
    models = load_catalog(path).models
    check_fits(1 + sum(model.replicas.min for model in models.values()), chosen)
    loaded = to_load(workspace.root, path, engine, chosen) | {"call_auth": call_auth}
    if processes.alive(workspace, NAME) is not None and is_outdated(workspace, loaded):
        if can_follow(workspace, loaded):
            _follow(workspace, loaded, keep_removed=keep_removed)
        else:
            print("Ray Serve: the code or its options have changed; starting again", flush=True)
            stop(workspace)
    if processes.alive(workspace, NAME) is None:
        write_json(workspace.run / LOADED, loaded)
        (workspace.run / STATE).unlink(missing_ok=True)
        print(f"Ray Serve: starting ({chosen} ingress)", flush=True)
        end_leftovers(workspace, 0.0)
        fresh_temp(workspace)
        command: list[str | Path] = [
            workspace.python(".venv"), "-m", "serve.app", "--catalog", path, "--port", str(ports(workspace).serve),
            "--engine", engine, "--call-auth", call_auth, "--temp-dir", temp_dir(workspace),
            "--state-file", workspace.run / STATE,
        ]  # fmt: skip
        keys = {"GLOSSA_CALL_KEYS_FILE": str(workspace.call_keys)}
        processes.start(
            workspace, NAME, command, environment(workspace, chosen, metrics=metrics) | keys, workspace.root
        )
    _wait(workspace, url, sorted(models))
    print(f"Ray Serve: {url}/v2 ({time.monotonic() - started_s:.1f} s)", flush=True)
    return url


def to_load(root: Path, catalog: Path, engine: str, ingress: Ingress) -> dict[str, str]:
    """Return what decides how a server answers: code and packages in `root`, the catalog, the engine, the ingress."""
    return {
        "code": digest(root, CODE),
        "packages": digest(root, LOCKS),
        "installed": hashlib.sha256("\n".join(installed(root)).encode()).hexdigest(),
        "catalog": catalog.read_text(encoding="utf-8"),
        "catalog_file": str(catalog.resolve()),
        "engine": engine,
        "ingress": ingress,
    }


def installed(root: Path) -> list[str]:
    """Return name and version of each package in the server's environment, with the version of Python, sorted."""
    found = (root / ".venv").glob("lib/python*/site-packages/*.dist-info")
    return sorted(f"{folder.parents[1].name} {folder.stem}" for folder in found)


def is_outdated(workspace: Workspace, loaded: Mapping[str, str]) -> bool:
    """Return whether the last server of this workspace loaded something else than `loaded`, or something unknown."""
    return bool(read_json(workspace.run / LOADED) != loaded)


def can_follow(workspace: Workspace, loaded: Mapping[str, str]) -> bool:
    """Return whether the server of this workspace can become what `loaded` says while it runs.

    It can when nothing but the catalog differs, and while its new replicas start beside the old ones there is a port
    for each. Only HAProxy needs them.
    """
    noted = read_json(workspace.run / LOADED)
    if not isinstance(noted, Mapping) or {**noted, **FOLLOWED} != {**loaded, **FOLLOWED}:
        return False
    models = {**parse_catalog(noted["catalog"]).models, **parse_catalog(loaded["catalog"]).models}
    n_replicas = [model.replicas.min for model in models.values()]
    return loaded["ingress"] != "haproxy" or 1 + sum(n_replicas) + max(n_replicas) <= len(REPLICA_PORTS)


def answers_meanwhile(workspace: Workspace) -> bool:
    """Return whether a server runs that `start` with its defaults would not end."""
    loaded = to_load(workspace.root, workspace.root / "catalog.toml", "packed", default_ingress())
    loaded |= {"call_auth": "keys"}
    outdated = is_outdated(workspace, loaded)
    return processes.alive(workspace, NAME) is not None and (not outdated or can_follow(workspace, loaded))


def drop_removed(workspace: Workspace) -> None:
    """End the models that `start` kept though they were taken out of the catalog, if there are any."""
    if "removed" in (read_json(workspace.run / LOADED) or {}):
        start(workspace)


def _follow(workspace: Workspace, loaded: Mapping[str, str], *, keep_removed: bool) -> None:
    """Let the running server follow its catalog. Raises RuntimeError with its reason when it goes back."""
    before = parse_catalog(read_json(workspace.run / LOADED)["catalog"]).models
    gone = sorted(before.keys() - parse_catalog(loaded["catalog"]).models)
    print("Ray Serve: the catalog has changed; the other models answer meanwhile", flush=True)
    done = _updates(workspace, 0)["updates"]
    pid = processes.alive(workspace, NAME)
    if pid is None:
        raise RuntimeError("Ray Serve ended before it could follow the catalog")
    os.kill(pid, signal.SIGUSR1 if keep_removed else signal.SIGHUP)
    state = _updates(workspace, done + 1)
    if state["reason"]:
        raise RuntimeError(f"Ray Serve serves what it did before, because the catalog failed: {state['reason']}")
    kept = {"removed": "kept"} if keep_removed and gone else {}
    write_json(workspace.run / LOADED, {**loaded, **kept})


def _updates(workspace: Workspace, expected: int) -> Mapping[str, Any]:
    """Wait until the server has made so many updates; return what it says of them. Raises RuntimeError."""
    ends_s = time.monotonic() + UPDATE_S
    while time.monotonic() < ends_s and processes.alive(workspace, NAME) is not None:
        state = read_json(workspace.run / STATE)
        if state is not None and state["updates"] >= expected:
            return dict(state)
        time.sleep(POLL_S)
    raise RuntimeError(f"Ray Serve did not follow the catalog; log/{NAME}.log ends:\n{processes.tail(workspace, NAME)}")


def stop(workspace: Workspace) -> bool:
    """End this workspace's Ray Serve after it has answered its open calls; return whether it ran."""
    ran = processes.stop(workspace, NAME)
    end_leftovers(workspace, END_S)
    shutil.rmtree(temp_dir(workspace) / "h", ignore_errors=True)
    return ran


def is_up(workspace: Workspace) -> bool:
    """Return whether it runs and every model is ready."""
    return processes.alive(workspace, NAME) is not None and _ask(address(workspace) + "/v2/health/ready")[0]


def model_states(workspace: Workspace) -> dict[str, str]:
    """Return `ready` for each model of the server that runs and answers, or what the model says instead."""
    loaded = read_json(workspace.run / LOADED)
    names = parse_catalog(loaded["catalog"]).models if loaded else {}
    answers = {name: _ask(f"{address(workspace)}/v2/models/{name}/ready") for name in names}
    return {name: "ready" if is_ready else why or "no answer" for name, (is_ready, why) in answers.items()}


def address(workspace: Workspace) -> str:
    """Return the address of this workspace's Ray Serve, whether it runs or not."""
    return f"http://127.0.0.1:{ports(workspace).serve}"


def _wait(workspace: Workspace, url: str, models: list[str]) -> None:
    said = ""
    within_s = START_S + MODEL_S * len(models)
    ends_s = time.monotonic() + within_s
    pages = [f"{url}/v2/health/ready", *(f"{url}/v2/models/{model}/ready" for model in models)]
    while time.monotonic() < ends_s:
        if processes.alive(workspace, NAME) is None:
            raise RuntimeError(
                f"Ray Serve ended while starting; log/{NAME}.log ends:\n{processes.tail(workspace, NAME)}"
            )
        answers = [_ask(page) for page in pages]
        if all(is_ready for is_ready, _ in answers) and (workspace.run / STATE).exists():
            return
        waiting = next((why for is_ready, why in answers if not is_ready), said)
        if waiting and waiting != said:
            said = waiting
            print(f"Ray Serve: {said}", flush=True)
        time.sleep(POLL_S)
    raise RuntimeError(f"Ray Serve is not ready after {within_s:.0f} s ({said}); see {workspace.log}")


def _ask(page: str) -> tuple[bool, str]:
    """Return whether a page answers 200; if it does not, also the text of its JSON error."""
    try:
        with urllib.request.urlopen(page, timeout=ASK_S):  # noqa: S310 - our own http address
            return True, ""
    except urllib.error.HTTPError as error:
        return False, _said(error.read())
    except OSError:
        return False, ""


def _said(data: bytes) -> str:
    try:
        problem = json.loads(data)
    except ValueError:
        return ""
    return str(problem.get("error", "")) if isinstance(problem, Mapping) else ""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return 0, or 1 with a reason on standard error."""
    parser = argparse.ArgumentParser(prog="python -m local.model_server", description="Ray Serve of this checkout.")
    parser.add_argument("verb", choices=["start", "stop", "status"])
    parser.add_argument("--catalog", type=Path, default=None)
    parser.add_argument("--engine", choices=["packed", "fake"], default="packed")
    parser.add_argument("--ingress", choices=["haproxy", "python"], default=None)
    parser.add_argument("--call-auth", choices=["keys", "none"], default="keys")
    parser.add_argument("--home", type=Path, default=None, help="folder of the workspace (default: .local/)")
    asked = parser.parse_args(arguments)
    workspace = this_workspace(asked.home)
    try:
        if asked.verb == "start":
            start(workspace, asked.catalog, engine=asked.engine, ingress=asked.ingress, call_auth=asked.call_auth)
        elif asked.verb == "stop":
            print("stopped" if stop(workspace) else "nothing was running")
        else:
            print(address(workspace) if is_up(workspace) else "not running")
    except (RuntimeError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
