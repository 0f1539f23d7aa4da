"""How much memory `plan` and `work` take for an object of 5 GB, which a fake bucket generates by range.

    python -m benchmarks.batch_memory [--gib 5] [--kind jsonl|csv|jsonl.gz] [--artifacts FOLDER] [--json]

The process is the function: its whole peak counts, interpreter and tokenizer included. Table and queue
are the cloud's memory, so those here keep no more than one shard and its job.
"""

from __future__ import annotations

import contextlib
import io
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.reporting.memory import peak_mib
from benchmarks.reporting.report import Report, at_most, finish, options, progress, row_of
from functions.jobs.api.jobs import Jobs
from functions.jobs.api.request_bodies import JobBody
from functions.jobs.state import keys
from functions.jobs.state.queue_messages import QueueMessage
from functions.jobs.state.transactions import Put, Write
from functions.jobs.steps.plan.planner import Planner
from functions.jobs.steps.work import worker
from functions.jobs.storage.aws import Doors, open_memory
from functions.jobs.storage.in_memory.objects import InMemoryObjects
from functions.jobs.storage.in_memory.queue import InMemoryQueue
from functions.jobs.storage.in_memory.table import InMemoryTable
from functions.jobs.storage.s3_objects import CHUNK_BYTES, Stored
from functions.lambdas.work_wiring import respond_with
from functions.replica.fake import FakeReplica
from shared.catalog import load_catalog
from shared.messages import InferCall, ModelOutput, Tensor

ROOT = Path(__file__).parents[1]
LINE_BYTES = 512
LIMIT_MIB = 200
TIME_LEFT_S = 300.0
N_LABELS = 7  # of mini:topic
HEADERS = {"jsonl": b"", "csv": b"id,text\n"}


class Generated(InMemoryObjects):
    """A bucket in which one object is lines made as they are read; what is written is counted, and the first kept."""

    def __init__(self, name: str, kind: str, n_bytes: int) -> None:
        super().__init__(versioned=False)
        self._name, self._packed = name, kind.endswith(".gz")
        self._kind = kind.removesuffix(".gz")
        header = len(HEADERS[self._kind])
        self._size = (n_bytes - header) // LINE_BYTES * LINE_BYTES + header
        self.n_written = 0

    def head(self, bucket: str, key: str, version: str = "") -> Stored | None:
        """Know the generated object."""
        if key.endswith(self._name):
            return Stored(key, 1 << 30 if self._packed else self._size, "etag")
        return super().head(bucket, key, version)

    def read(
        self, bucket: str, key: str, *, version: str = "", etag: str = "", start: int = 0, end: int | None = None
    ) -> Iterator[bytes]:
        """Make the bytes asked for."""
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
        """Keep the first object, and parts; count the rest."""
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
    """A table that takes all shards and keeps the first."""

    n_shards = 0

    def write(self, *writes: Write) -> None:
        """Do the writes, but for the shards after the first."""
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
        """Take them."""


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
    doors = _doors(Generated(name, chosen.kind, int(gib * 2**30)))
    peaks = {"before": peak_mib()}
    began_s = time.monotonic()
    with contextlib.redirect_stdout(io.StringIO()):  # the functions' log
        job = _planned(doors, name)
        seconds = time.monotonic() - began_s
        peaks["plan"] = peak_mib()
        progress(f"  planned {gib:g} GiB in {seconds:.0f} s")
        _worked(doors, job, chosen.artifacts)
        peaks["work"] = peak_mib()
    rows = [row_of(step, "peak MiB", [peak]) for step, peak in peaks.items()]
    rows.append(row_of("plan", "MiB/s", [gib * 1024 / seconds]))
    holds = tuple(at_most(f"peak MiB after {step}", peaks[step], LIMIT_MIB) for step in ("plan", "work"))
    return finish([Report("batch memory", f"{gib:g} GiB of {chosen.kind}", tuple(rows), holds)], as_json=chosen.json)


def _doors(objects: Generated) -> Doors:
    clock = {"now_ms": 1_800_000_000_000}
    plain = open_memory(lambda: clock["now_ms"])
    return Doors(
        Forgetful(), objects, Discarding(plain.now_ms), plain.bus, plain.input_bucket, plain.output_bucket, plain.now_ms
    )


def _planned(doors: Doors, name: str) -> str:
    catalog = load_catalog(ROOT / "catalog.toml")
    jobs = Jobs(doors)
    spec = JobBody(task="text-classification", model="mini:topic", files=[name]).spec(catalog)
    job, _ = jobs.create("local", spec, (name,), "")
    doors.objects.put(doors.input_bucket, keys.input_prefix("local", job.job) + name, b"x")  # type: ignore[attr-defined] # ours has it
    jobs.start("local", job.job)
    Planner(doors, catalog, "0" * 64).run("local", job.job, lambda: TIME_LEFT_S)
    return job.job


def _worked(doors: Doors, job: str, artifacts: Path) -> None:
    replica = FakeReplica(_flat)
    respond = respond_with(load_catalog(ROOT / "catalog.toml"), artifacts, replica)
    page = doors.store.query(keys.job_prefix("local", job), prefix="shard/", limit=1)
    message = QueueMessage("work", "local", job, str(page.items[0]["shard"]))
    record = {"messageId": "m", "receiptHandle": "r", "body": message.encode(), "attributes": {}}
    answer = worker.Worker(doors, respond, time.monotonic).answer({"Records": [record]}, lambda: TIME_LEFT_S)
    if answer["batchItemFailures"]:
        raise RuntimeError("the shard was not answered")


def _flat(call: InferCall) -> ModelOutput:
    n_rows = call.n_rows
    return ModelOutput({"logits": Tensor.floats([0.0] * n_rows * N_LABELS, [n_rows, N_LABELS])}, {})


if __name__ == "__main__":
    raise SystemExit(main())
