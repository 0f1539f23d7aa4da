"""Measures the start of each Lambda function under `awslambdaric`: init, first and warm invocation, peak memory.

    python -m benchmarks.cold_start [--rounds N]

Package and layer are those of `GLOSSA_TARGET=host`. The runtime starts as Lambda starts it, with our Runtime API. The
model server is a stand-in on loopback that answers at once. Init lasts from the start of the process to its first
request for an event. `nothing` is a function that does nothing: it shows the cost of the interpreter and the runtime
client. Sizes are the vocabularies of the first mini, XLM-R and XLM-V. Every function starts once in each round.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import ROOT
from benchmarks.harness.runtime_api import FakeModelServer, RuntimeApi, fake_model_server, runtime_api
from benchmarks.inputs import vocabularies
from benchmarks.reporting.memory import peak_mib
from benchmarks.reporting.report import Goal, Report, Row, at_most, finish, options, progress, row_of
from benchmarks.tokenize import write_tokenizer_folder

JOB_HANDLERS = ("jobs", "plan", "work", "finalize", "sweep", "notify")
NO_RECORDS = {"plan", "work", "finalize", "notify"}  # these handlers touch nothing when an event has no records
N_LABELS, N_WARM = 2, 200
N_ROUNDS, N_QUICK_ROUNDS = 5, 1
READY_S = 60.0
PEAK_MIB = {"250k": 220.0, "902k": 450.0}
INIT_S = {"250k": 0.7, "902k": 1.5}
WARM_MS = 3.0
TEXT = "The committee will meet again on Thursday to decide whether the bridge can be opened to traffic before winter."
NOTHING = "def handler(event, context):\n    return {}\n"
SETTINGS = {
    "GLOSSA_AUTH": "none", "GLOSSA_INPUT_BUCKET": "in", "GLOSSA_OUTPUT_BUCKET": "out", "GLOSSA_JOBS_TABLE": "jobs",
    **{f"GLOSSA_{name}_QUEUE_URL": "http://127.0.0.1:9/queue" for name in ("PLAN", "WORK", "FINALIZE", "NOTIFY")},
    "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "AWS_LAMBDA_FUNCTION_NAME": "measured",
    "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
    "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand", "POWERTOOLS_TRACE_DISABLED": "true", "AWS_XRAY_CONTEXT_MISSING": "",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Function:
    """A function to start: its package, its handler, and the event it gets. Without an event it is only started."""

    name: str
    package: Path
    handler: str
    event: dict[str, Any] | None


@dataclass(slots=True)
class StartFigures:
    """The figures of one function, one for each start."""

    init_s: list[float] = field(default_factory=list)
    init_cpu_s: list[float] = field(default_factory=list)  # tells a slow machine from a busy one
    first_ms: list[float] = field(default_factory=list)
    warm_ms: list[float] = field(default_factory=list)
    peak_mib: list[float] = field(default_factory=list)


def main() -> int:
    """Start every function in every round."""
    parser = options(__doc__)
    parser.add_argument("--rounds", type=int, default=None)
    parser.add_argument("--folder", type=Path, default=Path("build/bench/vocabularies"), help="where they are kept")
    chosen = parser.parse_args()
    sizes = list(vocabularies.SIZES)[:2] if chosen.quick else list(vocabularies.SIZES)
    n_rounds = chosen.rounds or (N_QUICK_ROUNDS if chosen.quick else N_ROUNDS)
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        replica = stack.enter_context(fake_model_server(N_LABELS))
        layer = _make(work / "layer", "DependencyLayer") / "python"
        functions = _functions(work, sizes, chosen.folder)
        seen = {function.name: StartFigures() for function in functions}
        for number in range(n_rounds):
            for function in functions:
                _start(function, layer, replica, seen[function.name])
            progress(f"  round {number + 1} of {n_rounds}")
    report = Report("cold_start", "awslambdaric, host packages", tuple(_rows(seen)), tuple(_goals(seen, sizes)))
    return finish([report], as_json=chosen.json)


def _functions(work: Path, sizes: Sequence[str], folder: Path) -> list[Function]:
    """Return all functions with their packages: infer with each vocabulary, the job functions with the smallest."""
    (work / "nothing").mkdir()
    (work / "nothing" / "nothing.py").write_text(NOTHING, encoding="utf-8")
    package = _make(work / "package", "InferFunction")
    made = [Function("nothing", work / "nothing", "nothing.handler", {})]
    for size in sizes:
        sized = work / size
        shutil.copytree(package, sized)
        laid_out = write_tokenizer_folder(size, folder)
        shutil.copy(laid_out / "catalog.toml", sized / "catalog.toml")
        shutil.rmtree(sized / "artifacts")
        shutil.copytree(laid_out / "artifacts", sized / "artifacts")
        made.append(Function(f"infer {size}", sized, "functions.lambdas.infer.handler", _request()))
    for name in JOB_HANDLERS:
        event: dict[str, Any] | None = {"Records": []} if name in NO_RECORDS else None
        made.append(Function(name, package, f"functions.lambdas.{name}.handler", event))
    return made


def _make(out: Path, target: str) -> Path:
    """Build a package for this machine, as `make build` does."""
    out.mkdir()
    environment = {
        **os.environ, "GLOSSA_TARGET": "host", "GLOSSA_PYTHON": sys.executable, "ARTIFACTS_DIR": str(out.resolve()),
    }  # fmt: skip
    subprocess.run(
        ["make", "-s", "-C", str(ROOT / "functions"), f"build-{target}"], env=environment, check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return out


def _request() -> dict[str, Any]:
    event: dict[str, Any] = json.loads((ROOT / "tests" / "events" / "rest_post.json").read_text(encoding="utf-8"))
    return event | {"body": json.dumps({"inputs": TEXT}), "isBase64Encoded": False}


def _start(function: Function, layer: Path, replica: FakeModelServer, seen: StartFigures) -> None:
    with runtime_api() as api, _running(function, layer, api, replica) as process:
        began_s = time.perf_counter()
        seen.init_s.append(api.wait_ready(READY_S) - began_s)
        seen.init_cpu_s.append(_cpu_s(process.pid))
        if function.event is not None:
            seen.first_ms.append(_ask(function, api, replica))
            if function.name.startswith(("infer", "nothing")):
                seen.warm_ms.append(statistics.median(_ask(function, api, replica) for _ in range(N_WARM)))
        seen.peak_mib.append(peak_mib(process.pid))


def _ask(function: Function, api: RuntimeApi, replica: FakeModelServer) -> float:
    """Return the milliseconds of one invocation without the time in the model server."""
    replica.seconds.clear()
    answered = api.invoke(function.event or {})
    if answered.error or b'"statusCode": 5' in answered.body or b'"statusCode": 4' in answered.body:
        raise RuntimeError(f"{function.name} answered {answered.error or answered.body[:400].decode()}")
    return (answered.seconds - sum(replica.seconds)) * 1000


@contextmanager
def _running(
    function: Function, layer: Path, api: RuntimeApi, replica: FakeModelServer
) -> Iterator[subprocess.Popen[bytes]]:
    environment = {
        "PATH": os.environ["PATH"], **SETTINGS, "GLOSSA_REPLICA_URL": f"http://127.0.0.1:{replica.port}",
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{api.port}", "LAMBDA_TASK_ROOT": str(function.package),
        "PYTHONPATH": f"{function.package}:{layer}", "PYTHONDONTWRITEBYTECODE": "",
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "awslambdaric", function.handler],
        cwd=function.package, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait(timeout=10)


def _cpu_s(pid: int) -> float:
    """Return the processor time of a process so far in seconds, user and system."""
    after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def _rows(seen: dict[str, StartFigures]) -> Iterator[Row]:
    for name, starts in seen.items():
        figures = {
            "init s": starts.init_s, "init CPU s": starts.init_cpu_s,
            "first ms": starts.first_ms, "warm ms, p50": starts.warm_ms,
            "peak MiB": starts.peak_mib,
        }  # fmt: skip
        yield from (row_of(name, metric, values) for metric, values in figures.items() if values)


def _goals(seen: dict[str, StartFigures], sizes: Sequence[str]) -> Iterator[Goal]:
    for size in sizes:
        starts = seen[f"infer {size}"]
        if size in INIT_S:
            yield at_most(f"infer {size}: peak MiB", max(starts.peak_mib), PEAK_MIB[size])
            yield at_most(f"infer {size}: init s", statistics.median(starts.init_s), INIT_S[size])
        yield at_most(f"infer {size}: warm ms, p50", statistics.median(starts.warm_ms), WARM_MS)


if __name__ == "__main__":
    raise SystemExit(main())
