"""Measures how much memory `plan` and `work` need for an object of 5 GB, which a fake bucket generates by range.

    python -m benchmarks.batch_memory [--gib 5] [--kind jsonl|csv|jsonl.gz] [--artifacts FOLDER] [--json]

This process stands for the Lambda function: its whole peak counts, with interpreter and tokenizer. On AWS, table and
queue are outside the function, so the ones here keep no more than one shard and its job.
"""

from __future__ import annotations

import contextlib
import io
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.reporting.memory import peak_mib
from benchmarks.reporting.report import Report, at_most, finish, options, progress, row_of
from functions.jobs.api.request_bodies import JobBody
from functions.jobs.state import keys
from functions.jobs.state.queue_messages import QueueMessage
from functions.jobs.state.transactions import Put, Write
from functions.jobs.storage.contracts import CHUNK_BYTES, Stored
from functions.jobs.storage.in_memory.objects import InMemoryObjects
from functions.jobs.storage.in_memory.queue import InMemoryQueue
from functions.jobs.storage.in_memory.table import InMemoryTable
from functions.messages import Result
from functions.pipeline.pipeline import Pipeline
from functions.replica.fake import FakeReplica
from functions.tasks.task import TextRequest
from functions.tokenizers.load import load_tokenizers
from shared.catalog import load_catalog
from shared.errors import GlossaError
from shared.messages import InferCall, ModelOutput, Tensor
from tests.unit.functions.jobs.wiring import Effects, in_memory, make_jobs, make_planner, make_worker

ROOT = Path(__file__).parents[1]
LINE_BYTES = 512
LIMIT_MIB = 200
TIME_LEFT_S = 300.0
N_LABELS = 7  # of mini:topic
HEADERS = {"jsonl": b"", "csv": b"id,text\n"}


class Generated(InMemoryObjects):
    """A bucket with one object whose lines are made as they are read. Counts what is written, and keeps the first."""

    def __init__(self, name: str, kind: str, n_bytes: int) -> None:
        super().__init__(versioned=False)
        self._name, self._packed = name, kind.endswith(".gz")
        self._kind = kind.removesuffix(".gz")
        header = len(HEADERS[self._kind])
        self._size = (n_bytes - header) // LINE_BYTES * LINE_BYTES + header
        self.n_written = 0

    def head(self, bucket: str, key: str, version: str = "") -> Stored | None:
        """Return the facts of the generated object."""
        if key.endswith(self._name):
            return Stored(key, 1 << 30 if self._packed else self._size, "etag")
        return super().head(bucket, key, version)

    def read(
        self, bucket: str, key: str, *, version: str = "", etag: str = "", start: int = 0, end: int | None = None
    ) -> Iterator[bytes]:
        """Make the bytes of the range."""
        if not key.endswith(self._name):
            yield from super().read(bucket, key, version=version, etag=etag, start=start, end=end)
            return
        if not self._packed:
            yield from self._lines(start, self._size if end is None else end)
            return
        packer = zlib.compressobj(1, wbits=31)
        for chunk in self._lines(0, self._size):
            yield packer.compress(chunk)
        yield packer.flush()

    def put_new(self, bucket: str, key: str, data: bytes, *, content_type: str, metadata: Mapping[str, str]) -> bool:
        """Keep the first object and all parts; count the others."""
        self.n_written += 1
        if self.n_written == 1 or "/parts/" in key:
            return super().put_new(bucket, key, data, content_type=content_type, metadata=metadata)
        return True

    def _lines(self, start: int, end: int) -> Iterator[bytes]:
        header = HEADERS[self._kind]
        if start < len(header):
            yield header[start:end]
            start = len(header)
        for at in range(start, end, CHUNK_BYTES):
            stop = min(at + CHUNK_BYTES, end)
            first, last = (at - len(header)) // LINE_BYTES, -(-(stop - len(header)) // LINE_BYTES)
            made = b"".join(map(self._line, range(first, last)))
            skip = at - len(header) - first * LINE_BYTES
            yield made[skip : skip + stop - at]

    def _line(self, number: int) -> bytes:
        words = f"document {number} of many, some words in a row, " * 12
        before, after = (f'{{"id": {number}, "text": "', '"}\n') if self._kind == "jsonl" else (f'{number},"', '"\n')
        return (before + words[: LINE_BYTES - len(before) - len(after)] + after).encode()


class Forgetful(InMemoryTable):
    """A table that takes all shards and keeps only the first."""

    n_shards = 0

    def write(self, *writes: Write) -> None:
        """Do the writes, except those of shards after the first."""
        kept = []
        for write in writes:
            if isinstance(write, Put) and write.key.sk.startswith("shard/"):
                self.n_shards += 1
                if self.n_shards > 1:
                    continue
            kept.append(write)
        super().write(*kept)


class Discarding(InMemoryQueue):
    """A queue that takes all messages and keeps none."""

    def send(self, messages: Sequence[QueueMessage], *, delay_s: int = 0) -> None:
        """Drop the messages."""


def main() -> int:
    """Plan an object and work on its first shard."""
    parser = options(__doc__)
    parser.add_argument("--gib", type=float, default=5.0, help="size of the decoded object; 5 is the most a job reads")
    parser.add_argument("--kind", choices=("jsonl", "csv", "jsonl.gz"), default="jsonl")
    parser.add_argument(
        "--artifacts", type=Path, default=ROOT / "build/artifacts", help="tokenizers that `make build` makes"
    )
    chosen = parser.parse_args()
    gib = 0.05 if chosen.quick else chosen.gib
    name = f"big.{chosen.kind}"
    effects = _effects(Generated(name, chosen.kind, int(gib * 2**30)))
    peaks = {"before": peak_mib()}
    began_s = time.monotonic()
    with contextlib.redirect_stdout(io.StringIO()):  # the functions' log
        job = _planned(effects, name)
        seconds = time.monotonic() - began_s
        peaks["plan"] = peak_mib()
        progress(f"  planned {gib:g} GiB in {seconds:.0f} s")
        _worked(effects, job, chosen.artifacts)
        peaks["work"] = peak_mib()
    rows = [row_of(step, "peak MiB", [peak]) for step, peak in peaks.items()]
    rows.append(row_of("plan", "MiB/s", [gib * 1024 / seconds]))
    holds = tuple(at_most(f"peak MiB after {step}", peaks[step], LIMIT_MIB) for step in ("plan", "work"))
    return finish([Report("batch memory", f"{gib:g} GiB of {chosen.kind}", tuple(rows), holds)], as_json=chosen.json)


def _effects(objects: Generated) -> Effects:
    plain = in_memory(lambda: 1_800_000_000_000)
    return replace(plain, table=Forgetful(), objects=objects, queue=Discarding(plain.now_ms))


def _planned(effects: Effects, name: str) -> str:
    catalog = load_catalog(ROOT / "catalog.toml")
    jobs = make_jobs(effects)
    spec = JobBody(task="text-classification", model="mini:topic", files=[name]).spec(catalog)
    job, _ = jobs.create("local", spec, (name,), "")
    effects.objects.put(effects.input_bucket, keys.input_prefix("local", job.job) + name, b"x")  # type: ignore[attr-defined] # the objects are in memory
    jobs.start("local", job.job)
    make_planner(effects, catalog, "0" * 64).run("local", job.job, lambda: TIME_LEFT_S)
    return job.job


def _worked(effects: Effects, job: str, artifacts: Path) -> None:
    replica = FakeReplica(_flat)
    catalog = load_catalog(ROOT / "catalog.toml")
    pipeline = Pipeline(catalog, load_tokenizers(catalog, artifacts))

    def respond(request: TextRequest) -> tuple[Result, Mapping[int, GlossaError]]:
        return pipeline.run_valid_inputs(request, lambda calls: replica.infer(calls, request.deadline_s))

    page = effects.table.query(keys.job_prefix("local", job), prefix="shard/", limit=1)
    message = QueueMessage("work", "local", job, str(page.items[0]["shard"]))
    record = {"messageId": "m", "receiptHandle": "r", "body": message.encode(), "attributes": {}}
    answer = make_worker(effects, respond, time.monotonic).handle_event({"Records": [record]}, lambda: TIME_LEFT_S)
    if answer["batchItemFailures"]:
        raise RuntimeError("the shard was not answered")


def _flat(call: InferCall) -> ModelOutput:
    n_rows = call.n_rows
    return ModelOutput({"logits": Tensor.floats([0.0] * n_rows * N_LABELS, [n_rows, N_LABELS])}, {})


if __name__ == "__main__":
    raise SystemExit(main())
