"""Groups of workers: one for each size class that is used, with room for every replica, and no GPU that nobody uses."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.manifests.demand import Demand
from serve.manifests.worker_groups import SHAPES, Shape, WorkerGroup, n_workers, parse_shape, worker_groups


def _demand(name: str = "a", size_class: str = "large", cpus: float = 1.0, gpus: float = 0.5, **counts: int) -> Demand:
    given = {"min": 2, "max": 2, "per_node": None} | counts
    return Demand(name, size_class, cpus, gpus, **given)  # type: ignore[arg-type] # a literal


def test_only_classes_that_are_used_have_a_group() -> None:
    """The order is that of the classes. A group is as large as its replicas need, and one worker larger at most."""
    found = worker_groups([_demand(size_class="xl", gpus=1.0, max=3), _demand("front", "base", 0.1, 0.0)])
    assert found == [WorkerGroup("base", Shape(7, 12, 0), 1, 2), WorkerGroup("xl", SHAPES["xl"], 2, 4)]


def test_a_group_may_rest_at_zero() -> None:
    """When no replica always runs, no worker does. There may be as many as all replicas need."""
    assert worker_groups([_demand(min=0, max=4)]) == [WorkerGroup("large", SHAPES["large"], 0, 3)]


def test_a_class_without_gpus_reserves_none() -> None:
    """Models of class large that run on CPUs get workers without a GPU."""
    (group,) = worker_groups([_demand(gpus=0.0)])
    assert group.shape == SHAPES["large"]._replace(gpus=0)


@pytest.mark.parametrize(
    ("gpus", "counts", "expected"),
    [
        (0.5, {"a": 2, "b": 2}, 2),  # two halves to a GPU
        (0.4, {"a": 3}, 2),  # a third would need parts of two GPUs
        (0.3, {"a": 3}, 1),
        (1.0, {"a": 3}, 3),
    ],
)
def test_shares_of_gpus_are_of_one_gpu(gpus: float, counts: dict[str, int], expected: int) -> None:
    """Replicas share a GPU as long as their parts fit on it. A part never lies on two."""
    assert n_workers([(_demand(name, gpus=gpus), count) for name, count in counts.items()], SHAPES["large"]) == expected


def test_several_gpus_of_one_worker() -> None:
    """A replica may take whole GPUs of a worker; what is left over takes parts."""
    eight = Shape(96, 600, 8)
    assert n_workers([(_demand(gpus=4.0), 3)], eight) == 2
    assert n_workers([(_demand(gpus=4.0), 1), (_demand("b", gpus=0.5), 8)], eight) == 1
    assert n_workers([(_demand(gpus=4.0), 1), (_demand("b", gpus=0.5), 9)], eight) == 2


def test_the_bound_for_one_node_costs_workers() -> None:
    """Two replicas that would fit on one worker get two when one node may hold only one."""
    assert n_workers([(_demand(per_node=1), 2), (_demand("b", per_node=1), 2)], SHAPES["large"]) == 2
    assert n_workers([(_demand(), 2)], SHAPES["large"]) == 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 70), st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.integers(0, 9)), max_size=5))
def test_the_workers_have_room_for_all(replicas: list[tuple[int, float, int]]) -> None:
    """The workers of a group have the CPUs and GPUs of all replicas together, and never more workers than replicas."""
    counts = [(_demand(str(i), cpus=cpus / 10, gpus=gpus), n) for i, (cpus, gpus, n) in enumerate(replicas)]
    shape = Shape(7, 12, 1)
    found = n_workers(counts, shape)
    assert sum(each.cpus * n for each, n in counts) <= found * shape.cpus + 1e-6
    assert sum(each.gpus * n for each, n in counts) <= found * shape.gpus
    assert found <= sum(n for _, n in counts)


@pytest.mark.parametrize(
    ("demand", "said"),
    [
        (_demand(size_class="base"), "got 0.5 GPUs for a replica of a, expected at most 0, .* size class base"),
        (_demand(gpus=2.0), "got 2 GPUs for a replica of a, expected at most 1, .*--worker large="),
        (_demand(cpus=4.0), "got 4 CPUs for a replica of a, expected at most 3"),
    ],
)
def test_a_replica_that_fits_nowhere_is_refused(demand: Demand, said: str) -> None:
    """The message gives the value, what was expected, and two ways forward."""
    with pytest.raises(ValueError, match=said):
        worker_groups([demand])


def test_a_shape_can_be_named() -> None:
    """`xl=15,200,1` is a worker of one H100. A bad one is refused with its form."""
    assert parse_shape("xl=15,200,1") == ("xl", Shape(15, 200, 1))
    for wrong in ("xxl=1,1,1", "xl=1,1", "xl=1,1,half", "xl", "xl=0,1,1", "xl=\u00b2,1,1", "xl=1,1,999999"):
        with pytest.raises(ValueError, match=f"got worker '{wrong}', expected"):
            parse_shape(wrong)
