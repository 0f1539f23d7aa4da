"""Serve configurations: keys that Ray would drop in silence are refused by their path."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict, Field

from serve.app import read_serve_config
from serve.strict_config import check_strict, read_strict

GOOD = """
proxy_location: EveryNode
http_options: {host: 0.0.0.0, port: 8000, keep_alive_timeout_s: 90, request_timeout_s: 130}
logging_config: {encoding: JSON, enable_access_log: false}
applications:
  - name: mini
    route_prefix: /v2/models/mini
    import_path: serve.app:model_application
    args: {catalog: catalog.toml, model: mini, anything: goes}
    runtime_env: {env_vars: {OMP_NUM_THREADS: "2"}}
    deployments:
      - name: replica
        max_ongoing_requests: 128
        max_queued_requests: 128
        backpressure_config: {status_code: 429, retry_after_s: 1}
        ray_actor_options: {num_cpus: 2}
        autoscaling_config: {min_replicas: 1, max_replicas: 4, target_ongoing_requests: 32, policy: {policy_kwargs: {}}}
"""


def test_a_good_configuration_is_read() -> None:
    """Each key that Ray knows is read. In a plain dict, unknown keys are read too."""
    config = read_serve_config(GOOD)
    assert config.applications[0].deployments[0].max_queued_requests == 128
    assert config.http_options.keep_alive_timeout_s == 90


PLANTED = {  # by level: the right text, the misspelt text, and the path that the error names
    "top": ("proxy_location: EveryNode", "proxi_location: EveryNode", "proxi_location"),
    "http": ("keep_alive_timeout_s: 90", "keepalive_s: 90", "http_options.keepalive_s"),
    "logging": ("enable_access_log", "access_log", "logging_config.access_log"),
    "application": ("route_prefix:", "route_prefx:", "applications[0].route_prefx"),
    "deployment": ("max_queued_requests:", "max_queued_request:", "applications[0].deployments[0].max_queued_request"),
    "backpressure": (
        "retry_after_s: 1", "retry_after: 1", "applications[0].deployments[0].backpressure_config.retry_after",
    ),
    "actor options": ("num_cpus: 2", "cpus: 2", "applications[0].deployments[0].ray_actor_options.cpus"),
    "autoscaling": (
        "target_ongoing_requests: 32", "target_requests: 32",
        "applications[0].deployments[0].autoscaling_config.target_requests",
    ),
    "policy": ("policy_kwargs: {}", "kwargs: {}", "applications[0].deployments[0].autoscaling_config.policy.kwargs"),
}  # fmt: skip


@pytest.mark.parametrize("level", PLANTED)
def test_an_unknown_key_is_refused_at_every_level(level: str) -> None:
    """A misspelt key is an error that names its path, at any level."""
    right, wrong, path = PLANTED[level]
    assert right in GOOD
    with pytest.raises(ValueError, match=r"unknown keys in ServeDeploySchema: ") as refused:
        read_serve_config(GOOD.replace(right, wrong))
    assert path in str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "not YAML"),
        ("- a", "expected a mapping"),
        ("", "expected a mapping"),
        (GOOD + "applications: []\n", "keys stand twice: applications"),
        (GOOD.replace("status_code: 429", "status_code: 429, status_code: 503"), "keys stand twice: status_code"),
        (GOOD.replace("max_queued_requests: 128", "max_queued_requests: many"), "max_queued_requests"),
        (GOOD.replace("status_code: 429", "status_code: 200"), "status_code"),
        (GOOD.replace("import_path: serve.app:model_application", ""), "import_path"),
        ("applications: !!python/object/apply:os.getcwd []", "not YAML"),
    ],
)
def test_what_is_no_configuration_is_refused(text: str, said: str) -> None:
    """Broken YAML, repeated keys and bad values are each named."""
    with pytest.raises(ValueError, match=said):
        read_serve_config(text)


class _Leaf(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    size: int = Field(default=0, alias="Size")


class _Tree(BaseModel):
    leaf: _Leaf | None = None
    leaves: list[dict[str, str] | _Leaf] = []
    free: dict[str, object] = {}


def test_schemas_are_followed_through_optionals_lists_and_aliases() -> None:
    """The check has no list of Ray's schemas: it follows annotations."""
    tree = read_strict(_Tree, "{leaf: {Size: 1}, leaves: [{size: 2}], free: {any: {thing: 1}}}")
    assert tree.leaf == _Leaf(Size=1)
    with pytest.raises(ValueError, match=r"leaves\[1\]\.sise"):
        check_strict(_Tree, {"leaves": [{"size": 1}, {"sise": 1}]})
