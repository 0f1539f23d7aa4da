"""The options of every deployment. Each bound that Ray would leave open or guess is set here.

Pure values; tests compare them with the built configuration. Must not know Ray or how a call is answered.
"""

from __future__ import annotations

import math
from typing import Any, get_args

from shared.catalog import Catalog, Model, SizeClass

FRONT_APPLICATION = "front"  # name of the application at /v2, and of its deployment
MAX_ONGOING = 128  # bounds the bodies in memory; a replica bounds its tokens itself, and refuses first
MAX_QUEUED = 128  # for each proxy
RETRY_AFTER_S = 1
TARGET_ONGOING = 32.0
# Ray replaces a replica that crashed at the next check, one that stalled after three checks without an answer: within
# 2.2 s and 10 s. A check itself takes at most about a second, however long passes take (serve.scheduling.health).
HEALTH_PERIOD_S, HEALTH_TIMEOUT_S = 2.0, 2.0
DRAIN_S, DRAIN_STEP_S = 40.0, 0.5  # longer than a function may wait for an answer, 25 s
REQUEST_TIMEOUT_S = 130.0  # the replica refuses to wait longer than 120 s
KEEP_ALIVE_S = 90  # longer than a load balancer keeps an idle connection, 60 s
NODE_DRAIN_S = 90.0  # from the notice that a node goes until its processes end; longer than DRAIN_S and a look at it
FRONT_CPUS = 0.1
FRONT_CLASS: SizeClass = "base"
SIZE_CLASS_UNITS = 1000  # that a node has of the custom resource of its size class
SIZE_CLASS_SHARE = 0.001  # that a replica takes of it
ENVIRONMENT = {  # libgomp and glibc read it when the process starts
    "GOMP_SPINCOUNT": "10000",  # torch's threads spin this often while they wait for the next product, then sleep
    "MALLOC_ARENA_MAX": "1",  # with the two below: the engine's threads keep the memory of their states between passes
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
}
# For Ray's controller. A replica that answers no health check cannot drain: it would keep its memory and its calls.
CONTROLLER_ENVIRONMENT = {"RAY_SERVE_FORCE_STOP_UNHEALTHY_REPLICAS": "1"}
LOGICAL_CPUS = 100_000  # that a server on one machine tells Ray it has: any catalog fits, and any that follows it
MAX_SURGE_PERCENT = 100  # on one machine new replicas start beside the old ones, which answer until these are ready


def replica_options(model: Model, *, spread: bool = False) -> dict[str, Any]:
    """Return every option of a model's deployment.

    A replica runs on a node of its size class. With `spread`, for a cluster of several nodes, no node holds more than
    half of the replicas that always run. So the loss of one node leaves a model with two replicas one.
    """
    replicas = model.replicas
    count: dict[str, Any] = {"num_replicas": replicas.min}
    if replicas.min != replicas.max:
        count = {"autoscaling_config": {
            "min_replicas": replicas.min, "max_replicas": replicas.max, "target_ongoing_requests": TARGET_ONGOING,
            "upscale_delay_s": 10.0, "downscale_delay_s": 300.0,
        }}  # fmt: skip
    return {
        **_shared_options(),
        **count,
        **_spread(replicas.min if spread else 1),
        **_surge(on_cluster=spread, num_gpus=replicas.num_gpus),
        "name": "replica",
        "ray_actor_options": {
            "num_cpus": replicas.num_cpus,
            "num_gpus": replicas.num_gpus,
            "resources": {size_class_resource(model.size_class): SIZE_CLASS_SHARE},
            "runtime_env": {"env_vars": dict(ENVIRONMENT)},
        },
    }


def front_options(catalog: Catalog, *, spread: bool = False) -> dict[str, Any]:
    """Return every option of the deployment at /v2, which runs on nodes of the class base."""
    n_replicas = front_replicas(catalog)
    return {
        **_shared_options(),
        **_spread(n_replicas if spread else 1),
        **_surge(on_cluster=spread),
        "name": FRONT_APPLICATION,
        "num_replicas": n_replicas,
        "ray_actor_options": {
            "num_cpus": FRONT_CPUS,
            "resources": {size_class_resource(FRONT_CLASS): SIZE_CLASS_SHARE},
        },
    }


def front_replicas(catalog: Catalog) -> int:
    """Return the number of replicas at /v2: two when a model of the catalog always has two or more, else one."""
    return min(2, max(1, *(model.replicas.min for model in catalog.models.values())))


def size_class_resource(size_class: str) -> str:
    """Return the name of the custom resource that Ray's nodes of a size class have."""
    return f"size_class_{size_class}"


def all_size_classes() -> dict[str, float]:
    """Return the custom resources of a node that holds replicas of every size class, as one machine does."""
    return {size_class_resource(name): SIZE_CLASS_UNITS for name in get_args(SizeClass)}


def _spread(n_replicas: int) -> dict[str, Any]:
    return {"max_replicas_per_node": math.ceil(n_replicas / 2)} if n_replicas > 1 else {}


def _surge(*, on_cluster: bool, num_gpus: float = 0.0) -> dict[str, Any]:
    """Let new replicas of a changed model start before the old ones stop, where there is room for both.

    A GPU has room for one. A cluster gets a new catalog in a new cluster, never in the one that runs.
    """
    return {} if on_cluster or num_gpus else {"max_surge_percent": MAX_SURGE_PERCENT}


def _shared_options() -> dict[str, Any]:
    """Return the options that all deployments share."""
    return {
        "max_ongoing_requests": MAX_ONGOING,
        "max_queued_requests": MAX_QUEUED,
        "backpressure_config": {"status_code": 429, "retry_after_s": RETRY_AFTER_S},
        "health_check_period_s": HEALTH_PERIOD_S,
        "health_check_timeout_s": HEALTH_TIMEOUT_S,
        "graceful_shutdown_timeout_s": DRAIN_S,
        "graceful_shutdown_wait_loop_s": DRAIN_STEP_S,
        "logging_config": {"encoding": "JSON", "log_level": "WARNING", "enable_access_log": False},
    }
