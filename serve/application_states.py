"""Asks Serve's controller for the state of each application, and for the number of its replicas by state.

A model that lost one of its replicas still answers, so it counts as running. Ray calls its application unhealthy.
Imports Ray. Must not load torch, since the server's own process imports it. Must not know who asks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ray import serve as ray_serve

from serve.deployment_options import FRONT_APPLICATION

RUNNING, UNHEALTHY = "RUNNING", "UNHEALTHY"  # as Ray spells them


def application_states() -> Mapping[str, str]:
    """Return the state of each application by name. It blocks."""
    return {name: state_of(application) for name, application in ray_serve.status().applications.items()}


def replica_states() -> Mapping[str, Mapping[str, int]]:
    """Return the number of replicas of each model's application by state. It blocks."""
    applications = ray_serve.status().applications
    return {name: count_states(each) for name, each in applications.items() if name != FRONT_APPLICATION}


def state_of(application: Any) -> str:
    """Return the state of an application, in the words of Ray. It runs while each deployment has a replica."""
    state = _word(application.status)
    deployments = application.deployments.values()
    answers = bool(deployments) and all(_count(deployment)[RUNNING] for deployment in deployments)
    return RUNNING if state == UNHEALTHY and answers else state


def count_states(application: Any) -> Counter[str]:
    """Count the replicas of an application by state."""
    return sum((_count(deployment) for deployment in application.deployments.values()), Counter())


def _count(deployment: Any) -> Counter[str]:
    return Counter({_word(state): count for state, count in deployment.replica_states.items()})


def _word(state: Any) -> str:
    """Return a state as text. Ray 2.60 gives plain text for some where its types say an enumeration."""
    return str(getattr(state, "value", state))
