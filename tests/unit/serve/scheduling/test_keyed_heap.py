"""The keyed heap beside a plain model of it: a dictionary that is sorted each time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.scheduling.keyed_heap import MAX_OLD_ENTRIES, KeyedHeap

steps = st.lists(st.tuples(st.sampled_from(["put", "remove"]), st.integers(0, 9), st.integers(-3, 3)), max_size=60)


@given(steps)
def test_the_first_is_the_smallest_and_of_equals_the_oldest(taken: list[tuple[str, int, int]]) -> None:
    """After any steps, values leave in the order of keys, then of puts. A value that was moved counts as put again."""
    heap, model = KeyedHeap[int, str](), dict[int, tuple[int, int, str]]()
    for serial, (step, name, key) in enumerate(taken):
        if step == "put":
            heap.put(name, key, f"{name} at {serial}")
            model[name] = (key, serial, f"{name} at {serial}")
        elif name in model:
            assert heap.remove(name) == model.pop(name)[2]
        else:
            with pytest.raises(KeyError):
                heap.remove(name)
        assert (name in heap, heap.get(name)) == (name in model, model[name][2] if name in model else None)
    assert sorted(heap.values()) == sorted(value for _, _, value in model.values())
    for _, _, value in sorted(model.values()):
        assert heap.first() == value
        heap.remove(int(value.split()[0]))
    assert len(heap) == 0
    with pytest.raises(IndexError):
        heap.first()


def test_old_entries_do_not_pile_up() -> None:
    """Old entries of values that were moved or removed are dropped."""
    heap = KeyedHeap[int, int]()
    heap.put(-1, -1.0, 0)
    for number in range(10_000):
        heap.put(number % 3, number, number)
    assert len(heap._entries) <= 2 * 4 + MAX_OLD_ENTRIES + 1
