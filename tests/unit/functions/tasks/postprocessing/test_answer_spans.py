"""The search for the best answer spans is exact."""

from __future__ import annotations

import numpy as np

from functions.tasks.postprocessing.answer_spans import best_spans


def test_the_best_spans_are_all_spans_sorted() -> None:
    """The search gives the same spans as sorting all spans of the allowed length."""
    random = np.random.default_rng(0)
    for n, most, wanted in [(1, 1, 1), (5, 2, 3), (30, 7, 12), (40, 40, 50)]:
        start, end = random.dirichlet(np.ones(n)), random.dirichlet(np.ones(n))
        every = [(start[i] * end[j], i, j) for i in range(n) for j in range(i, min(n, i + most))]
        assert best_spans(start.tolist(), end.tolist(), wanted, most) == sorted(every, reverse=True)[:wanted]
