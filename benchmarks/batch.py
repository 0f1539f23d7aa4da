"""A batch job against the engine alone on the same texts: what planning, leases, parts and counting cost.

    python -m benchmarks.batch [--size mini|base] [--in-flight 2] [--quick] [--json]

The worker is called directly, as Lambda would call it, `--in-flight` shards at once. The model server is the engine in
this process, one pass at a time. Table, buckets and queue are in memory, so that the network of a real account is not
measured; the shards in flight would hide it. The engine alone gets token ids.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

from benchmarks.inputs.catalogs import HEAD, MODEL, write_catalog
from benchmarks.inputs.checkpoints import add_tokenizer, make
from benchmarks.inputs.workload import texts_of
from benchmarks.reporting.report import Report, at_least, finish, options, progress, row_of
from functions.jobs.api.request_bodies import JobBody
from functions.jobs.state import keys
from functions.jobs.storage.aws import wall_clock_ms
from functions.jobs.storage.in_memory.objects import InMemoryObjects
from functions.jobs.storage.in_memory.queue import InMemoryQueue
from functions.jobs.storage.queries import load_job
from functions.messages import Result, TextInput
from functions.pipeline.pack_calls import pack_calls
from functions.pipeline.pipeline import Pipeline
from functions.pipeline.route import route
from functions.pipeline.tokenize import tokenize
from functions.tasks.parse import parse_parameters
from functions.tasks.task import TextRequest
from glossa.tokenizer_build.checkpoints import tokenizer_of
from serve.engine.load_engine import load_engine
from serve.engine.run_call import infer
from shared.catalog import Catalog, load_catalog
from shared.errors import GlossaError
from shared.messages import InferCall, ModelOutput
from tests.unit.functions.jobs.wiring import (
    Effects,
    in_memory,
    make_finalizer,
    make_jobs,
    make_planner,
    make_worker,
)

ROOT = Path(__file__).parents[1]
TASK, TENANT, NAME = "text-classification", "local", "in.jsonl"
TIME_LEFT_S = 300.0
TARGET = 0.85
N_ROUNDS, N_QUICK_ROUNDS = 5, 2
N_RECORDS, N_QUICK_RECORDS = 4096, 256


class OnePass:
    """The engine as a model server runs it: one pass at a time for all callers."""

    def __init__(self, catalog: Catalog, model: str, root: Path) -> None:
        self._engine = load_engine(catalog.model(model), root)
        self._lock = threading.Lock()

    def infer(self, asked: Sequence[InferCall]) -> list[ModelOutput]:
        """Answer calls in order."""
        found = []
        for call in asked:
            with self._lock:
                found.append(infer(self._engine, call))
        return found


def main() -> int:
    """Measure both in turn, round by round, after one round that does not count."""
    parser = options(__doc__)
    parser.add_argument("--size", choices=("mini", "base"), default="mini")
    parser.add_argument("--mix", choices=("sib-mix", "short", "long"), default="sib-mix")
    parser.add_argument("--in-flight", type=int, default=2, help="shards worked on at once")
    parser.add_argument("--checkpoints", type=Path, default=Path("build/bench"), help="where made checkpoints are kept")
    chosen = parser.parse_args()
    n_records, n_rounds = (N_QUICK_RECORDS, N_QUICK_ROUNDS) if chosen.quick else (N_RECORDS, N_ROUNDS)
    texts = list(itertools.islice(itertools.cycle(texts_of(chosen.mix)), n_records))
    catalog, root, model = _served(chosen.size, chosen.checkpoints)
    pipeline = Pipeline(catalog, {model: tokenizer_of(catalog.model(model), root)})
    engine = OnePass(catalog, model, root)
    packed = _packed(pipeline, texts, f"{model}:{HEAD}")
    alone: list[float] = []
    as_job: list[float] = []
    for round_ in range(n_rounds + 1):
        found = _engine_alone(engine, packed, n_records), _job(pipeline, engine, texts, chosen.in_flight)
        if round_:
            alone.append(found[0])
            as_job.append(found[1])
            progress(f"  round {round_}: {found[0]:.0f} and {found[1]:.0f} records/s")
    name = f"batch job, {chosen.in_flight} in flight"
    rows = (row_of("engine alone", "records/s", alone), row_of(name, "records/s", as_job))
    hold = at_least("share of the engine alone", rows[1].value / rows[0].value, TARGET)
    return finish(
        [Report("batch", f"{chosen.size}, {chosen.mix}, {n_records} records", rows, (hold,))], as_json=chosen.json
    )


def _served(size: str, folder: Path) -> tuple[Catalog, Path, str]:
    """Return a catalog, its folder, and the model of a size."""
    if size == "mini":
        return load_catalog(ROOT / "catalog.toml"), ROOT, "mini"
    checkpoint = add_tokenizer(make(size, "classification", folder))
    with tempfile.TemporaryDirectory() as work:
        path = write_catalog(Path(work) / "catalog.toml", checkpoint, precision="bfloat16")
        return load_catalog(path), folder, MODEL


def _packed(pipeline: Pipeline, texts: Sequence[str], reference: str) -> list[InferCall]:
    """Return the calls of all texts, as large as they may be."""
    parameters = parse_parameters(TASK, {"top_k": 1})
    request = TextRequest(TASK, tuple(map(TextInput, texts)), parameters, reference)
    chosen = route(request, pipeline.catalog)
    model = pipeline.catalog.model(chosen.model)
    tokenized = tokenize(request, model, pipeline.tokenizers[chosen.model])
    return list(pack_calls(request, chosen, tokenized, model))


def _engine_alone(engine: OnePass, packed: Sequence[InferCall], n_records: int) -> float:
    """Answer all calls in a thread, as the job does: in the main thread torch would use other threads of its own."""
    with ThreadPoolExecutor(1) as alone:
        began_s = time.perf_counter()
        alone.submit(engine.infer, packed).result()
        return n_records / (time.perf_counter() - began_s)


def _job(pipeline: Pipeline, engine: OnePass, texts: Sequence[str], in_flight: int) -> float:
    """Run a job from its start to its manifest; return records per second."""

    def respond(request: TextRequest) -> tuple[Result, Mapping[int, GlossaError]]:
        return pipeline.run_valid_inputs(request, engine.infer)

    effects = in_memory(wall_clock_ms)
    model = next(iter(pipeline.tokenizers))
    job = _submitted(effects, pipeline.catalog, f"{model}:{HEAD}", texts)
    worker = make_worker(effects, respond, time.monotonic)
    began_s = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        make_planner(effects, pipeline.catalog, "0" * 64).run(TENANT, job, lambda: TIME_LEFT_S)
        with ThreadPoolExecutor(in_flight) as gate:
            list(gate.map(lambda event: worker.handle_event(event, lambda: TIME_LEFT_S), _events(effects)))
        make_finalizer(effects).run(TENANT, job)
    seconds = time.perf_counter() - began_s
    ended = load_job(effects.table, TENANT, job)
    if ended is None or ended.records_ok != len(texts):
        raise RuntimeError(f"got {ended.records_ok if ended else 0} answers, expected {len(texts)}")
    return len(texts) / seconds


def _submitted(effects: Effects, catalog: Catalog, reference: str, texts: Sequence[str]) -> str:
    spec = JobBody(task=TASK, model=reference, parameters={"top_k": 1}, files=[NAME]).spec(catalog)
    job, _ = make_jobs(effects).create(TENANT, spec, (NAME,), "")
    data = "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()
    cast("InMemoryObjects", effects.objects).put(effects.input_bucket, keys.input_prefix(TENANT, job.job) + NAME, data)
    make_jobs(effects).start(TENANT, job.job)
    return job.job


def _events(effects: Effects) -> list[dict[str, object]]:
    """Take all messages that plan sent, each an event of its own."""
    queue = cast("InMemoryQueue", effects.queue)
    return list(iter(lambda: queue.receive("work"), None))


if __name__ == "__main__":
    raise SystemExit(main())
