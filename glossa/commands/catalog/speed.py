"""Measures the speed of a model with the engine: the best of several passes over one row of the maximum length.

Must not know the catalog file.
"""

from __future__ import annotations

from pathlib import Path

from glossa.commands.catalog.progress import Progress
from shared.catalog import Model


def measure_speed(model: Model, root: Path, progress: Progress) -> float:
    """Return the tokens per second of one replica on this machine, rounded to two digits.

    `root` is the catalog's folder. The engine gets as many threads as a replica would. Raises the error of a head that
    does not answer, and a CheckpointError that says how to add a model that this machine cannot run.
    """
    import torch  # noqa: PLC0415 - slow, and only this function needs it

    from serve.checkpoints.read import CheckpointError  # noqa: PLC0415 - imports torch
    from serve.engine.load_engine import load_engine  # noqa: PLC0415 - imports torch
    from serve.engine.warm_up import best_speed  # noqa: PLC0415 - imports torch

    progress.stage(f"measuring the speed of {model.name}, some seconds; --no-measure leaves it out")
    before = torch.get_num_threads()
    torch.set_num_threads(model.n_threads)
    try:
        engine = load_engine(model, root)
        speed = best_speed(engine, lambda n, best: progress.detail(f"pass {n}, {best:,.0f} tokens/s"))
    except CheckpointError as error:
        hint = "give --tokens-per-s to take over a model that this machine cannot run"
        raise CheckpointError(error.message, hint=error.hint or hint) from error
    finally:
        torch.set_num_threads(before)
    return float(f"{speed:.2g}")
