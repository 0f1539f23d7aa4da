"""Measures the functions' own part of a request: route, tokenize, pack and assemble, in one process on one core.

    python -m benchmarks.pipeline [--mix sib-mix|short|long] [--profile]

The model server is a fake that answers at once with zeros, and there is no HTTP. So the figures bound what one function
can do in front of a fast model server. Seconds are of the thread's processor time. `--profile` prints where they go.
"""

from __future__ import annotations

import cProfile
import pstats
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.inputs.workload import MIXES, texts_of
from benchmarks.reporting.report import Report, at_least, finish, options, progress, row_of
from benchmarks.tokenize import write_tokenizer_folder
from functions.messages import TextInput
from functions.pipeline.pipeline import Pipeline
from functions.tasks.task import TextRequest
from functions.tasks.text_classification import Parameters
from functions.tokenizers.load import load_tokenizers
from shared.catalog import load_catalog
from shared.messages import InferCall, ModelOutput, Tensor

SYSTEM = "glossa"
N_LABELS = 2  # of the head that `write_tokenizer_folder` writes
TARGETS = {1: 8_000.0, 32: 25_000.0}  # texts a second, by texts in a request
N_ROUNDS, N_QUICK_ROUNDS = 9, 3
N_SHOWN = 20


def main() -> int:
    """Measure requests of one text and of many."""
    parser = options(__doc__)
    parser.add_argument("--mix", choices=MIXES, default="sib-mix")
    parser.add_argument("--profile", action="store_true", help="print the functions that take most of the time")
    parser.add_argument("--folder", type=Path, default=Path("build/bench/vocabularies"), help="where tokenizers are")
    chosen = parser.parse_args()
    texts = texts_of(chosen.mix)
    folder = write_tokenizer_folder("32k", chosen.folder)
    catalog = load_catalog(folder / "catalog.toml")
    pipeline = Pipeline(catalog, load_tokenizers(catalog, folder / "artifacts"))
    rounds: dict[int, list[float]] = {n: [] for n in TARGETS}
    run(pipeline, texts, 1)
    for _ in range(N_QUICK_ROUNDS if chosen.quick else N_ROUNDS):
        for n_each, rates in rounds.items():
            rates.append(len(texts) / run(pipeline, texts, n_each))
    if chosen.profile:
        for n_each in TARGETS:
            profile(pipeline, texts, n_each)
    rows = [row_of(SYSTEM, f"texts/s, {n} a request", rates) for n, rates in rounds.items()]
    goals = [at_least(row.metric, row.value, target) for row, target in zip(rows, TARGETS.values(), strict=True)]
    return finish([Report("pipeline", chosen.mix, tuple(rows), tuple(goals))], as_json=chosen.json)


def run(pipeline: Pipeline, texts: Sequence[str], n_each: int) -> float:
    """Classify all texts in requests of `n_each`. Return the seconds of processor time."""
    began_s = time.thread_time()
    for start in range(0, len(texts), n_each):
        inputs = tuple(TextInput(text) for text in texts[start : start + n_each])
        pipeline.run(TextRequest("text-classification", inputs, Parameters()), zeros)
    return time.thread_time() - began_s


def zeros(calls: Sequence[InferCall]) -> list[ModelOutput]:
    """Answer each row with logits of zero."""
    return [
        ModelOutput({"logits": Tensor("FP32", (call.n_rows, N_LABELS), memoryview(bytes(4 * call.n_rows * N_LABELS)))})
        for call in calls
    ]


def profile(pipeline: Pipeline, texts: Sequence[str], n_each: int) -> None:
    """Print the functions that take most of the processor time."""
    progress(f"requests of {n_each}:")
    found = cProfile.Profile(time.thread_time)
    found.runcall(run, pipeline, texts, n_each)
    pstats.Stats(found).sort_stats("tottime").print_stats(N_SHOWN)


if __name__ == "__main__":
    raise SystemExit(main())
