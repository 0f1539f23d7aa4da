"""Brings a running Serve to other applications: only what differs is deployed, and the rest answers on.

One application at a time starts its new replicas, and its old ones answer until these are ready. If one does not start,
all of them go back to what ran before. Imports Ray. Must not know the catalog, or who asks for the update.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ray import serve as ray_serve

from serve.application_changes import changes
from shared.log import log_event

START_S = 600.0  # the longest that one application may take; large weights are fetched in this time
POLL_S = 0.2
RUNNING, FAILED = "RUNNING", "DEPLOY_FAILED"  # as Ray spells them


class Application(NamedTuple):
    """One application as Ray Serve runs it: a name, the path prefix of its routes, and the bound deployment.

    The rest says the same for a Serve configuration: `builder` is the function that makes the application from `args`
    and a catalog, and `options` are those of its deployment. `definition` is a text that differs when any of it does.
    """

    name: str
    route_prefix: str
    application: Any
    builder: str
    args: Mapping[str, str | bool]
    options: Mapping[str, Any]
    definition: str


def update(
    running: dict[str, Application], wanted: Sequence[Application], *, remove: bool, is_stopped: Callable[[], bool]
) -> None:
    """Deploy what is new or has changed, then delete what is gone if `remove`. `running` is kept up to date, by name.

    Raises RuntimeError with the reason when an application does not start. What ran before then runs again.
    """
    by_name = {each.name: each for each in wanted}
    found = changes(_definitions(running.values()), _definitions(wanted))
    tried: list[str] = []
    try:
        for name in (*found.added, *found.changed):
            tried.append(name)
            start(by_name[name], is_stopped)
    except Exception:
        _go_back(running, tried, is_stopped)
        raise
    running.update(by_name)
    for name in found.removed if remove else ():
        ray_serve.delete(name)
        del running[name]
    log_event("catalog-applied", count=len(running), state=found._asdict())


def start(application: Application, is_stopped: Callable[[], bool] = lambda: False) -> None:
    """Deploy one application and wait until all its replicas are the new ones. Raises RuntimeError with the reason."""
    target = ray_serve.RunTarget(
        target=application.application, name=application.name, route_prefix=application.route_prefix
    )
    ray_serve.run_many([target], wait_for_applications_running=False)
    ends_s = time.monotonic() + START_S
    while (state := _state(application.name)) != RUNNING:
        if state == FAILED:
            reasons = [line for name, line in failure_reasons() if name == application.name]
            raise RuntimeError(f"{application.name}: {'; '.join(reasons) or 'it did not start'}")
        if is_stopped() or time.monotonic() > ends_s:
            raise RuntimeError(f"{application.name} was not ready when the update ended")
        time.sleep(POLL_S)


def failure_reasons() -> Iterator[tuple[str, str]]:
    """Yield each application's name with the last line of each message that its deployments have."""
    for name, status in ray_serve.status().applications.items():
        for deployment in status.deployments.values():
            if lines := deployment.message.strip().splitlines():
                yield name, lines[-1]


def _go_back(running: dict[str, Application], tried: Sequence[str], is_stopped: Callable[[], bool]) -> None:
    """Delete what did not run before, and deploy what did as it was. Replicas that still answer do so meanwhile.

    What does not even start as it was is taken out of `running`, so that the next update tries it again.
    """
    for name in () if is_stopped() else reversed(tried):
        if name not in running:
            ray_serve.delete(name)
            continue
        try:
            start(running[name], is_stopped)
        except RuntimeError as error:
            log_event("not-serving", level="error", model=name, reason=str(error))
            del running[name]


def _definitions(applications: Iterable[Application]) -> dict[str, str]:
    return {each.name: each.definition for each in applications}


def _state(name: str) -> str:
    application = ray_serve.status().applications.get(name)
    return "" if application is None else str(getattr(application.status, "value", application.status))
