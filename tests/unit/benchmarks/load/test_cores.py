"""Speeds on more cores follow from those on one and two, and never exceed what memory gives."""

from __future__ import annotations

import math

import pytest

from benchmarks.load.cores import BANDWIDTH_BYTES_PER_S, CORES_A_NODE, fitted, latencies_ms, nodes_of


def test_the_fit_gives_back_what_was_measured() -> None:
    """Amdahl: a fifth of the work is done alone, so five cores' worth is the limit."""
    scaling = fitted(1000.0, 1000 / 0.6)
    assert scaling.tokens_per_s(1) == pytest.approx(1000)
    assert scaling.tokens_per_s(2) == pytest.approx(1000 / 0.6)
    assert scaling.node_tokens_per_s(10**9) == pytest.approx(5000)


def test_noise_never_gives_more_than_a_core_for_a_core() -> None:
    """Two cores that were more than twice as fast count as twice; slower ones share nothing."""
    assert fitted(1000.0, 2100.0).tokens_per_s(4) == pytest.approx(4000)
    assert fitted(1000.0, 900.0).tokens_per_s(4) == pytest.approx(1000)
    with pytest.raises(ValueError, match="got 0 and 5 tokens/s"):
        fitted(0.0, 5.0)


def test_nodes_share_nothing() -> None:
    """96 cores are two nodes, and twice as fast as one."""
    assert nodes_of(2 * CORES_A_NODE) == [CORES_A_NODE] * 2
    assert nodes_of(CORES_A_NODE + 1) == [25, 24]
    scaling = fitted(1000.0, 1900.0)
    assert scaling.tokens_per_s(96) == pytest.approx(2 * scaling.tokens_per_s(48))


def test_memory_bounds_a_node() -> None:
    """Passes of 32 tokens at least, each of which reads all weights."""
    scaling = fitted(1000.0, 2000.0, BANDWIDTH_BYTES_PER_S)
    assert scaling.node_tokens_per_s(CORES_A_NODE) == pytest.approx(4096 / CORES_A_NODE)
    assert math.isinf(fitted(1.0, 2.0).weight_reads_per_s)


def test_more_cores_wait_less() -> None:
    """At the same load, many passes have shorter queues than few."""
    scaling = fitted(1000.0, 2000.0)
    few, many = (
        latencies_ms(scaling, [10, 100], cores, lambda n: "short" if n == 10 else "long", slack=1.0, n_rows=2000)
        for cores in (2, 16)
    )
    assert set(few) == {"short", "long"}
    assert many["long"][1] < few["long"][1]
    assert many["long"][0] >= 100
