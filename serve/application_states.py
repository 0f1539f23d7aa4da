"""Asks Serve's controller for the state of each application, the number of its replicas by state, and for a replica.

A model that lost one of its replicas still answers, so it counts as running. Ray calls its application unhealthy.
Imports Ray. Must not load torch, since the server's own process imports it. Must not know who asks.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Container, Mapping
from typing import Any

from ray import serve as ray_serve

from serve.deployment_options import FRONT_APPLICATION

RUNNING, UNHEALTHY = "RUNNING", "UNHEALTHY"  # as Ray spells them
IDLE = "IDLE"  # our word for an application that runs and has scaled to no replica
WAKE_S = 600.0  # the longest wait for a first replica; large weights are fetched in this time
IN_UPDATE = ("DEPLOYING", "DEPLOY_FAILED")  # likewise: new replicas start, or did not


def application_states() -> Mapping[str, str]:
    """Return the state of each application by name. It blocks."""
    return {name: state_of(application) for name, application in ray_serve.status().applications.items()}


def answering_states() -> Mapping[str, str]:
    """Return the states as `application_states` does, but one that is deployed anew runs while it has old replicas.

    For a server on one machine, whose first start waits for all replicas by itself. It blocks.
    """
    return {name: answering_state_of(application) for name, application in ray_serve.status().applications.items()}


def replica_states() -> Mapping[str, Mapping[str, int]]:
    """Return the number of replicas of each model's application by state. It blocks."""
    applications = ray_serve.status().applications
    return {name: count_states(each) for name, each in applications.items() if name != FRONT_APPLICATION}


async def wake(name: str) -> None:
    """Let Serve start a replica of an application that has none. Return when it answers.

    A call that waits for a replica is what tells Serve's autoscaler that one is needed. Raises what Serve raises, and
    TimeoutError.
    """
    handle = await asyncio.to_thread(ray_serve.get_app_handle, name)
    async with asyncio.timeout(WAKE_S):
        await handle.check_health.remote()


def state_of(application: Any) -> str:
    """Return the state of an application, in the words of Ray. It runs while each deployment has a replica."""
    return _state(application, {UNHEALTHY})


def answering_state_of(application: Any) -> str:
    """Return the state of an application. It runs while each deployment has a replica, of whatever definition."""
    return _state(application, {UNHEALTHY, *IN_UPDATE})


def _state(application: Any, but_running: Container[str]) -> str:
    """Return the state. With replicas, those of `but_running` count as RUNNING; without any, RUNNING counts as IDLE."""
    state = _word(application.status)
    if _answers(application):
        return RUNNING if state in but_running else state
    return IDLE if state == RUNNING else state


def count_states(application: Any) -> Counter[str]:
    """Count the replicas of an application by state."""
    return sum((_count(deployment) for deployment in application.deployments.values()), Counter())


def _answers(application: Any) -> bool:
    deployments = application.deployments.values()
    return bool(deployments) and all(_count(deployment)[RUNNING] for deployment in deployments)


def _count(deployment: Any) -> Counter[str]:
    return Counter({_word(state): count for state, count in deployment.replica_states.items()})


def _word(state: Any) -> str:
    """Return a state as text. Ray 2.60 gives plain text for some where its types say an enumeration."""
    return str(getattr(state, "value", state))
