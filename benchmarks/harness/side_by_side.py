"""Compares engines side by side: each runs in a process of its own and makes one pass a round.

All are loaded before the first round. A waiting process uses no core: its threads spin briefly, then sleep. So one
system does not slow another down. Must not know what a system is or does.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import ROOT
from benchmarks.reporting.report import progress
from serve.deployment_options import ENVIRONMENT

SYSTEMS = ROOT / "benchmarks" / "systems"


@dataclass(frozen=True, slots=True)
class System:
    """A system to measure: its script in `systems`, the environment that runs the script, and its variant.

    With `every` = n it answers only each n-th row. This is for slow systems; their figures are tokens/s all the same.
    A `tuned` system runs with the malloc and thread settings of our replicas, others run as their packages come.
    """

    name: str
    script: str
    variant: str
    environment: str = ".venv"
    every: int = 1
    tuned: bool = False
    threads: int = 2

    @property
    def python(self) -> Path:
        """The Python interpreter of its environment."""
        return ROOT / self.environment / "bin" / "python"

    @property
    def is_there(self) -> bool:
        """Whether its environment is installed."""
        return self.python.exists()


@dataclass(frozen=True, slots=True)
class Measurement:
    """Tokens/s of each round, seconds to load, bytes of libraries and weights, and the peak memory of passes."""

    tokens_per_s: tuple[float, ...]
    load_s: float
    loaded_bytes: int
    peak_bytes: int

    @property
    def extra_bytes(self) -> int:
        """Peak memory beside the libraries and one copy of the weights."""
        return self.peak_bytes - self.loaded_bytes


class SystemFailed(RuntimeError):
    """A system cannot be measured here. The message ends with its last words."""


def compare(
    systems: Sequence[System], checkpoint: Path, rows: Sequence[Sequence[int]], *, task: str, n_rounds: int, work: Path
) -> dict[str, Measurement]:
    """Load all systems, then let each make one pass a round. Return the measurement of each by name.

    A system that cannot load is left out. The first of a round runs on cores that the last one warmed or cooled. So
    each round begins with another system.
    """
    rates: dict[str, list[float]] = {}
    peaks: dict[str, int] = {}
    with ExitStack() as stack:
        running = {}
        for system in systems:
            chosen = [list(row) for row in rows[:: system.every]]
            try:
                process, loaded = stack.enter_context(_started(system, checkpoint, chosen, task, work))
            except SystemFailed as failure:
                progress(f"  skipped: {failure}")
                continue
            running[system.name] = (process, sum(map(len, chosen)), loaded)
            progress(f"  {system.name}: loaded in {loaded['load_s']:.1f} s")
        for number in range(n_rounds):
            names = [*running][number % len(running) :] + [*running][: number % len(running)]
            for name in names:
                process, n_tokens, _ = running[name]
                answer = _ask(process)
                rates.setdefault(name, []).append(n_tokens / answer["seconds"])
                peaks[name] = int(answer["peak_bytes"])
            progress(f"  round {number + 1} of {n_rounds}")
        loads = {name: loaded for name, (_, _, loaded) in running.items()}
    return {
        name: Measurement(tuple(found), loads[name]["load_s"], int(loads[name]["loaded_bytes"]), peaks[name])
        for name, found in rates.items()
    }


@contextmanager
def _started(
    system: System, checkpoint: Path, rows: list[list[int]], task: str, work: Path
) -> Iterator[tuple[subprocess.Popen[str], Mapping[str, float]]]:
    path = work / f"{system.name.replace(' ', '-')}.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    command = [
        str(system.python), str(SYSTEMS / f"{system.script}.py"), "--checkpoint", str(checkpoint), "--rows", str(path),
        "--task", task, "--variant", system.variant, "--threads", str(system.threads),
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **(ENVIRONMENT if system.tuned else {})}
    with (work / f"{path.stem}.log").open("w") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
        )
        try:
            try:
                loaded = _answer(process)
            except EOFError:
                said = Path(log.name).read_text(encoding="utf-8").strip().splitlines()[-1:]
                raise SystemFailed(f"{system.name}: {' '.join(said)[:200]}") from None
            yield process, loaded
        finally:
            process.kill()
            process.wait(timeout=10)


def _ask(process: subprocess.Popen[str]) -> Mapping[str, float]:
    if process.stdin is None:
        raise RuntimeError("got a process without standard input. This is a bug.")
    process.stdin.write("go\n")
    process.stdin.flush()
    return _answer(process)


def _answer(process: subprocess.Popen[str]) -> Mapping[str, float]:
    """Return the next JSON line of a system. Other lines are ignored: libraries print them."""
    if process.stdout is None:
        raise RuntimeError("got a process without standard output. This is a bug.")
    for line in process.stdout:
        if line.startswith("{"):
            answer: dict[str, float] = json.loads(line)
            return answer
    raise EOFError(f"a system ended with status {process.wait(timeout=10)}")
