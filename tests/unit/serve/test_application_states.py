"""The state of an application, and the numbers of its replicas, from what Ray says of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ray.serve.schema import ApplicationStatus, ReplicaState

from serve.application_states import answering_state_of, count_states, state_of


def _application(status: Any, *replica_states: dict[Any, int]) -> Any:
    deployments = {str(at): SimpleNamespace(replica_states=states) for at, states in enumerate(replica_states)}
    return SimpleNamespace(status=status, deployments=deployments)


def test_an_application_runs_while_each_deployment_has_a_replica() -> None:
    """A model that lost one of two replicas answers. One that lost all of them does not, and says what Ray says."""
    unhealthy = ApplicationStatus.UNHEALTHY
    assert state_of(_application(unhealthy, {"RUNNING": 1, "STARTING": 1})) == "RUNNING"
    assert state_of(_application(unhealthy, {ReplicaState.RUNNING: 1}, {"RUNNING": 2})) == "RUNNING"
    assert state_of(_application(unhealthy, {"STARTING": 2})) == "UNHEALTHY"
    assert state_of(_application(unhealthy, {"RUNNING": 1}, {"STARTING": 1})) == "UNHEALTHY"
    assert state_of(_application(unhealthy)) == "UNHEALTHY"


def test_other_states_are_as_ray_says() -> None:
    """A new revision is not running before Ray says so, though replicas of the old one answer. Scaled to zero rests."""
    assert state_of(_application(ApplicationStatus.DEPLOYING, {"RUNNING": 1})) == "DEPLOYING"
    assert state_of(_application(ApplicationStatus.RUNNING, {"RUNNING": 1})) == "RUNNING"
    assert state_of(_application(ApplicationStatus.RUNNING, {})) == "IDLE"
    assert state_of(_application(ApplicationStatus.RUNNING, {"STOPPING": 1})) == "IDLE"


def test_a_model_in_update_answers_while_it_has_a_replica() -> None:
    """On one machine a model whose new replicas start, or do not, runs as long as an old one answers."""
    for status in (ApplicationStatus.DEPLOYING, ApplicationStatus.DEPLOY_FAILED, ApplicationStatus.UNHEALTHY):
        assert answering_state_of(_application(status, {"RUNNING": 1, "STARTING": 1})) == "RUNNING"
        assert answering_state_of(_application(status, {"STARTING": 1})) == status.value
    assert answering_state_of(_application(ApplicationStatus.DELETING, {"RUNNING": 1})) == "DELETING"


def test_states_are_counted_over_deployments() -> None:
    """States count as text, whether Ray gives text, as it does, or the enumeration that its types promise."""
    application = _application("RUNNING", {"RUNNING": 1, "STARTING": 1}, {ReplicaState.RUNNING: 2})
    assert count_states(application) == {"RUNNING": 3, "STARTING": 1}
