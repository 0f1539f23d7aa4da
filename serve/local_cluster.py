"""Runs applications with Ray Serve on this machine until a signal comes, and drains them on the way out.

Imports Ray. Must not know the catalog, or how applications are built or answer calls.
"""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import ray
from ray import serve as ray_serve
from ray.serve.config import HTTPOptions

from serve.deployment_options import DRAIN_S, DRAIN_STEP_S, KEEP_ALIVE_S, REQUEST_TIMEOUT_S, all_size_classes
from serve.private_folder import private_session
from shared.log import log_event

OBJECT_STORE_BYTES = 100 * 2**20  # nothing large travels through the object store


class Application(NamedTuple):
    """One application as Ray Serve runs it: a name, the path prefix of its routes, and the bound deployment.

    The rest says the same for a Serve configuration: `builder` is the function that makes the application from `args`
    and a catalog, and `options` are those of its deployment.
    """

    name: str
    route_prefix: str
    application: Any
    builder: str
    args: Mapping[str, str | bool]
    options: Mapping[str, Any]


def run(applications: Sequence[Application], *, host: str, port: int, num_cpus: int, temp_dir: Path | None) -> None:
    """Start Ray and Serve on `host:port`, run the applications, and return after SIGTERM or SIGINT.

    Calls in flight are finished first. Ray's session is in `temp_dir`, which only this user can enter; by default in a
    new folder, which is removed at the end. Raises RuntimeError when an application does not start.
    """
    session = private_session(temp_dir)
    stopped = threading.Event()
    ray.init(
        address="local",
        num_cpus=num_cpus,
        resources=all_size_classes(),
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=OBJECT_STORE_BYTES,
        _node_ip_address=host,
        _temp_dir=str(session),
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    try:
        http = HTTPOptions(host=host, port=port, request_timeout_s=REQUEST_TIMEOUT_S, keep_alive_timeout_s=KEEP_ALIVE_S)
        ray_serve.start(proxy_location="HeadOnly", http_options=http)
        _deploy(applications)
        log_event("serving", url_host=f"{host}:{port}", count=len(applications))
        stopped.wait()
        _drain()
    finally:
        ray_serve.shutdown()  # type: ignore[no-untyped-call] # Ray annotates most of its functions, not this one
        ray.shutdown()
        if temp_dir is None:
            shutil.rmtree(session.parent, ignore_errors=True)


def _deploy(applications: Sequence[Application]) -> None:
    """Start the applications and wait for them. Raises RuntimeError with the reason of each one that failed."""
    targets = [
        ray_serve.RunTarget(target=each.application, name=each.name, route_prefix=each.route_prefix)
        for each in applications
    ]
    try:
        ray_serve.run_many(targets)
    except RuntimeError:
        reasons = [f"{name}: {line}" for name, line in _failure_reasons()]
        raise RuntimeError("; ".join(reasons) or "the applications did not start") from None


def _drain() -> None:
    """Delete all applications and wait until their calls in flight are answered.

    Serve's own shutdown would stop the proxies while calls are still in them.
    """
    for name in ray_serve.status().applications:
        ray_serve.delete(name, _blocking=False)
    ends_s = time.monotonic() + DRAIN_S
    while ray_serve.status().applications and time.monotonic() < ends_s:
        time.sleep(DRAIN_STEP_S)


def _failure_reasons() -> Iterator[tuple[str, str]]:
    """Yield each application's name with the last line of each message that its deployments have."""
    for name, status in ray_serve.status().applications.items():
        for deployment in status.deployments.values():
            if lines := deployment.message.strip().splitlines():
                yield name, lines[-1]
