"""Runs applications with Ray Serve on this machine, updates them at a signal, and drains them on the way out.

Imports Ray. Must not know the catalog, or how applications are built or answer calls.
"""

from __future__ import annotations

import itertools
import json
import shutil
import signal
import threading
import time
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from queue import SimpleQueue

import ray
from ray import serve as ray_serve
from ray.serve.config import HTTPOptions

from serve.deployment_options import (
    DRAIN_S,
    DRAIN_STEP_S,
    KEEP_ALIVE_S,
    LOGICAL_CPUS,
    REQUEST_TIMEOUT_S,
    all_size_classes,
)
from serve.private_folder import private_session
from serve.rolling_update import Application, failure_reasons, update
from shared.log import log_event

OBJECT_STORE_BYTES = 100 * 2**20  # nothing large travels through the object store


class Order(Enum):
    """What a signal asks of a running server."""

    STOP = "stop"
    EXTEND = "extend"  # deploy what is new or has changed
    FOLLOW = "follow"  # and delete what is gone


SIGNALS = {
    signal.SIGTERM: Order.STOP,
    signal.SIGINT: Order.STOP,
    signal.SIGUSR1: Order.EXTEND,
    signal.SIGHUP: Order.FOLLOW,
}


def run(
    applications: Sequence[Application],
    *,
    host: str,
    port: int,
    temp_dir: Path | None,
    reload: Callable[[], Sequence[Application]] | None = None,
    state_file: Path | None = None,
) -> None:
    """Start Ray and Serve on `host:port`, run the applications, and return after SIGTERM or SIGINT.

    Calls in flight are finished first. After SIGHUP the applications become those that `reload` returns; after SIGUSR1
    too, but none is deleted. `state_file` gets the number of such updates, and why the last one failed, if it did.
    Ray's session is in `temp_dir`, which only this user can enter; by default in a new folder, which is removed at the
    end. Raises RuntimeError when an application does not start.
    """
    session = private_session(temp_dir)
    orders: SimpleQueue[Order] = SimpleQueue()
    stopped = threading.Event()
    ray.init(
        address="local",
        num_cpus=LOGICAL_CPUS,
        resources=all_size_classes(),
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=OBJECT_STORE_BYTES,
        _node_ip_address=host,
        _temp_dir=str(session),
    )

    def take(number: int, _frame: object) -> None:
        if SIGNALS[signal.Signals(number)] is Order.STOP:
            stopped.set()  # also ends an update that runs
        orders.put(SIGNALS[signal.Signals(number)])

    for number in SIGNALS:
        signal.signal(number, take)
    try:
        http = HTTPOptions(host=host, port=port, request_timeout_s=REQUEST_TIMEOUT_S, keep_alive_timeout_s=KEEP_ALIVE_S)
        ray_serve.start(proxy_location="HeadOnly", http_options=http)
        _deploy(applications)
        log_event("serving", url_host=f"{host}:{port}", count=len(applications))
        _follow(applications, orders, reload, state_file, stopped)
        _drain()
    finally:
        ray_serve.shutdown()  # type: ignore[no-untyped-call] # Ray annotates most of its functions, not this one
        ray.shutdown()
        if temp_dir is None:
            shutil.rmtree(session.parent, ignore_errors=True)


def _follow(
    applications: Sequence[Application],
    orders: SimpleQueue[Order],
    reload: Callable[[], Sequence[Application]] | None,
    state_file: Path | None,
    stopped: threading.Event,
) -> None:
    """Obey each order until one says stop. An update that fails changes nothing, and is logged."""
    running = {each.name: each for each in applications}
    _note(state_file, 0, "")
    for count in itertools.count(1):
        if (order := orders.get()) is Order.STOP:
            return
        reason = ""
        try:
            wanted = reload() if reload is not None else applications
            update(running, wanted, remove=order is Order.FOLLOW, is_stopped=stopped.is_set)
        except Exception as error:  # noqa: BLE001 - whatever it is, the models that run go on
            reason = str(error)
            log_event("catalog-not-applied", level="error", reason=reason)
        _note(state_file, count, reason)


def _note(state_file: Path | None, count: int, reason: str) -> None:
    """Write the state in such a way that no reader sees half a file."""
    if state_file is not None:
        fresh = state_file.with_suffix(".new")
        fresh.write_text(json.dumps({"updates": count, "reason": reason}), encoding="utf-8")
        fresh.replace(state_file)


def _deploy(applications: Sequence[Application]) -> None:
    """Start the applications and wait for them. Raises RuntimeError with the reason of each one that failed."""
    targets = [
        ray_serve.RunTarget(target=each.application, name=each.name, route_prefix=each.route_prefix)
        for each in applications
    ]
    try:
        ray_serve.run_many(targets)
    except RuntimeError:
        reasons = [f"{name}: {line}" for name, line in failure_reasons()]
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
