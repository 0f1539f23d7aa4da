"""The response cache gives a row its own answer again, and stays within its bytes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.rows.row import Row, row_of
from serve.scheduling.response_cache import ENTRY_BYTES, ResponseCache, is_repeatable, key_of
from shared.messages import Sampling

ROW = row_of([0, 5, 6, 2], "mlm", positions=(1,), target_ids=(7,))
OTHERS: dict[str, Row] = {
    "ids": row_of([0, 5, 7, 2], "mlm", positions=(1,), target_ids=(7,)),
    "head": replace(ROW, head="topic"),
    "positions": replace(ROW, positions=(2,)),
    "targets": replace(ROW, target_ids=(8,)),
    "top_k": replace(ROW, top_k=6),
    "lang ids": replace(ROW, lang_ids=torch.tensor([1, 1, 1, 1], dtype=torch.int32)),
    "type ids": replace(ROW, token_type_ids=torch.tensor([1, 1, 1, 1], dtype=torch.int32)),
    "per token": replace(ROW, per_token=True),
    "layers": replace(ROW, layers=(1,)),
    "pooling": replace(ROW, pooling="cls"),
}


def test_the_same_row_has_the_same_key() -> None:
    """Two rows that ask the same of the same ids share an answer."""
    assert key_of(ROW, "t") == key_of(row_of([0, 5, 6, 2], "mlm", positions=(1,), target_ids=(7,)), "t")


@pytest.mark.parametrize("what", OTHERS)
def test_whatever_differs_changes_the_key(what: str) -> None:
    """No row gets the answer of a row that asks for something else."""
    assert key_of(OTHERS[what], "t") != key_of(ROW, "t")


def test_generation_is_never_cached() -> None:
    """A generating row is computed each time."""
    assert is_repeatable(ROW)
    assert not is_repeatable(replace(ROW, sampling=Sampling()))


def test_a_cache_of_no_bytes_holds_nothing() -> None:
    """A size of 0 turns the cache off."""
    cache = ResponseCache(0)
    cache.put(b"a", {"logits": torch.zeros(1, 2)})
    assert (len(cache), cache.get(b"a"), cache.is_on) == (0, None, False)


def test_a_held_answer_keeps_no_batch_alive() -> None:
    """The cache keeps a copy. A view of one row would keep the tensor of the whole batch in memory."""
    batch = torch.zeros(1000, 7)
    cache = ResponseCache(1 << 20)
    cache.put(b"a", {"logits": batch[:1]})
    found = cache.get(b"a")
    assert found is not None
    assert found["logits"].untyped_storage().nbytes() == 7 * 4


@settings(max_examples=50, deadline=None)
@given(keys=st.lists(st.integers(0, 30), max_size=80), n_entries=st.integers(8, 20))
def test_it_holds_the_latest_used_within_its_bytes(keys: list[int], n_entries: int) -> None:
    """It holds the same keys as a plain list of the last used ones, cut at what fits."""
    size = ENTRY_BYTES + 4
    cache = ResponseCache(n_entries * size)
    recent: list[int] = []
    for key in keys:
        found = cache.get(b"%d" % key)
        assert (found is not None) == (key in recent)
        if found is None:
            cache.put(b"%d" % key, {"logits": torch.tensor([float(key)])})
        else:
            assert found["logits"].item() == key
            recent.remove(key)
        recent = [*recent, key][-n_entries:]
        assert cache.n_bytes <= n_entries * size
    assert cache.n_hits + cache.n_misses == len(keys)
