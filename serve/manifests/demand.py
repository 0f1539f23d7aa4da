"""Reads from the options of a deployment what its replicas ask of a node: CPUs, GPUs and a size class.

The options are those that Ray Serve gets, so that a cluster is sized by what is deployed on it. Must not know nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from serve.deployment_options import size_class_resource
from shared.catalog import SizeClass


@dataclass(frozen=True)
class Demand:
    """What the replicas of one application need: `cpus` and `gpus` each, on nodes of `size_class`.

    There are `min` to `max` of them. `per_node` bounds those on one node; None leaves it open.
    """

    name: str
    size_class: SizeClass
    cpus: float
    gpus: float
    min: int
    max: int
    per_node: int | None


def demand(name: str, options: Mapping[str, Any]) -> Demand:
    """Read the demand of the application `name` from the options of its deployment.

    Raises ValueError for options that no node could meet: no size class, no replica, or a GPU and a half.
    """
    actor = options["ray_actor_options"]
    scaling = options.get("autoscaling_config", {})
    least, most = scaling.get("min_replicas", options.get("num_replicas")), scaling.get("max_replicas")
    most = least if most is None else most
    if least is None or most < 1 or least > most:
        raise ValueError(f"got {least} to {most} replicas of {name}, expected at most 1 or more, and min at most max")
    gpus = float(actor.get("num_gpus", 0.0))
    if gpus > 1 and not gpus.is_integer():
        raise ValueError(f"got {gpus:g} GPUs for a replica of {name}, expected a part of one GPU or a whole number")
    return Demand(
        name=name,
        size_class=_size_class(name, actor.get("resources", {})),
        cpus=float(actor["num_cpus"]),
        gpus=gpus,
        min=least,
        max=most,
        per_node=options.get("max_replicas_per_node"),
    )


def _size_class(name: str, resources: Mapping[str, float]) -> SizeClass:
    known: dict[str, SizeClass] = {size_class_resource(each): each for each in get_args(SizeClass)}
    found = [known[resource] for resource in resources if resource in known]
    if len(found) != 1 or len(resources) != 1:
        raise ValueError(f"got resources {sorted(resources)} of {name}, expected one of {sorted(known)}")
    return found[0]
