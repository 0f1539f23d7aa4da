"""Lists every data set. To add one, add it to the list of a file beside this one.

Must not know how a data set is read.
"""

from __future__ import annotations

from collections.abc import Mapping

from glossa.evaluation.datasets import classification, pairs, reading
from glossa.evaluation.datasets.dataset import Dataset
from shared.errors import NotFound

DATASETS: Mapping[str, Dataset] = {
    each.name: each for each in (*classification.DATASETS, *reading.DATASETS, *pairs.DATASETS)
}


def dataset_named(name: str) -> Dataset:
    """Return a data set. Raises NotFound, and names those there are."""
    if name not in DATASETS:
        raise NotFound(f"got --dataset {name[:64]!r}, expected one of {', '.join(DATASETS)}")
    return DATASETS[name]
