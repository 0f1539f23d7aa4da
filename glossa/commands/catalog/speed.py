"""Measures the speed of a model with the engine, by the forward pass with which a replica warms up.

Must not know the catalog file.
"""

from __future__ import annotations

from pathlib import Path

from shared.catalog import Model


def measure_speed(model: Model, root: Path) -> float:
    """Return the tokens per second of one replica on this machine, rounded to two digits.

    `root` is the catalog's folder. The engine gets as many threads as a replica would. Raises CheckpointError, or the
    error of a head that does not answer.
    """
    import torch  # noqa: PLC0415 - slow, and only this function needs it

    from serve.engine.load_engine import load_engine  # noqa: PLC0415 - imports torch
    from serve.engine.warm_up import warm_up  # noqa: PLC0415 - imports torch

    before = torch.get_num_threads()
    torch.set_num_threads(model.n_threads)
    try:
        return float(f"{warm_up(load_engine(model, root)):.2g}")
    finally:
        torch.set_num_threads(before)


def measure_or_hint(model: Model, root: Path) -> float:
    """Return the measured speed. A CheckpointError says how to add a model that this machine cannot run."""
    from serve.checkpoints.read import CheckpointError  # noqa: PLC0415 - imports torch

    try:
        return measure_speed(model, root)
    except CheckpointError as error:
        hint = "give --tokens-per-s to add a model that this machine cannot run"
        raise CheckpointError(error.message, hint=error.hint or hint) from error
