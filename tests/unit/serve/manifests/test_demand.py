"""What replicas ask of a node is read from the options that Ray Serve gets; what no node could meet is refused."""

from __future__ import annotations

from typing import Any

import pytest

from serve.deployment_options import front_options, replica_options
from serve.manifests.demand import Demand, demand
from shared.catalog import Catalog, Model

OPTIONS = {"num_replicas": 2, "ray_actor_options": {"num_cpus": 1, "resources": {"size_class_xl": 0.001}}}


def test_it_is_read_from_the_options_of_a_deployment(model: Model) -> None:
    """A fixed number, a range, GPUs, the size class and the bound for one node all arrive."""
    scaling = {"min": 2, "max": 5, "num_cpus": 3.0, "num_gpus": 0.5}
    large = Model.model_validate({**model.model_dump(), "size_class": "large", "replicas": scaling})
    found = demand("toy", replica_options(large, spread=True))
    assert found == Demand("toy", "large", cpus=3.0, gpus=0.5, min=2, max=5, per_node=1)
    assert demand("toy", replica_options(model)) == Demand("toy", "base", 1.0, 0.0, 1, 1, None)
    front = demand("front", front_options(Catalog(default_model="toy", models={"toy": large}), spread=True))
    assert front == Demand("front", "base", 0.1, 0.0, 2, 2, 1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"num_replicas": 0}, "got 0 to 0 replicas of x, expected at most 1 or more"),
        ({"autoscaling_config": {"min_replicas": 3, "max_replicas": 2}}, "got 3 to 2 replicas of x"),
        ({"ray_actor_options": {"num_cpus": 1, "resources": {}}}, r"got resources \[\] of x, expected one of"),
        ({"ray_actor_options": {"num_cpus": 1, "resources": {"size_class_xxl": 1}}}, "expected one of .*size_class_xl"),
        (
            {"ray_actor_options": {"num_cpus": 1, "num_gpus": 1.5, "resources": {"size_class_xl": 1}}},
            "got 1.5 GPUs for a replica of x, expected a part of one GPU or a whole number",
        ),
    ],
)
def test_what_no_node_could_meet_is_refused(change: dict[str, Any], said: str) -> None:
    """The message gives the value, then what was expected."""
    with pytest.raises(ValueError, match=said):
        demand("x", OPTIONS | change)
