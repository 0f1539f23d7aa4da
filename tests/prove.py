"""`make prove`: the whole proof of batch jobs, with its report.

Tries every fault at every effect of small jobs, pairs of faults, and hundreds of random schedules of large jobs. Looks
for each planted bug. Runs a job in real processes that are killed. Exits with 1 when a promise is broken, or when a
planted bug is not found.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from local import emulator
from local.workspace import ROOT, Workspace
from tests.killed.run import cancel_job, compare, model_server
from tests.simulator.mutations import MUTATIONS
from tests.simulator.scenarios import LARGE, SMALL
from tests.simulator.search import Finding, all_pairs, catch, first_broken, pairs, sampled, singles
from tests.simulator.test_reference import JobMachine, TestJobMachine
from tests.unit.functions.jobs.storage.cloud import REGION

LARGE_SEEDS, SMALL_SEEDS = 50, 60  # of each scenario
CANCEL_S = 2.0
EXAMPLES = 500  # of sequences held against the reference
PAIRED = (0, 2, 4, 7, 8)  # small scenarios in which two faults are tried together
Step = tuple[str, Callable[[], Finding | int]]


def one_fault(at: int) -> Finding | int:
    """Try each fault at each decision of a small scenario."""
    return first_broken(SMALL[at], singles(SMALL[at]), "one fault")


def two_faults(at: int) -> Finding | int:
    """Try two faults: any two in the smallest scenario; in the others a repeated delivery and a fault soon after it."""
    found = pairs(SMALL[at]) if at else all_pairs(SMALL[at])
    return first_broken(SMALL[at], found, "two faults")


def seeds(kind: str, at: int) -> Finding | int:
    """Sample schedules of a scenario."""
    small = kind == "small"
    return sampled((SMALL if small else LARGE)[at], range(SMALL_SEEDS if small else LARGE_SEEDS))


def planted(at: int) -> Finding | int:
    """Look for a planted bug."""
    return catch(MUTATIONS[at])


def steps() -> list[Step]:
    """Return everything that is tried in the simulator, the longest first."""
    made: list[Step] = [(f"bug: {mutation.name}", partial(planted, at)) for at, mutation in enumerate(MUTATIONS)]
    made += [(f"seeds: {each.name}", partial(seeds, "large", at)) for at, each in enumerate(LARGE)]
    made += [(f"one fault: {each.name}", partial(one_fault, at)) for at, each in enumerate(SMALL)]
    made += [(f"two faults: {each.name}", partial(two_faults, at)) for at, each in enumerate(SMALL) if at in PAIRED]
    made += [(f"seeds: {each.name}", partial(seeds, "small", at)) for at, each in enumerate(SMALL)]
    return made


def timed(do: Callable[[], Finding | int]) -> tuple[Finding | int, float]:
    """Return what a step found and how many seconds it took."""
    begun_s = time.monotonic()
    return do(), time.monotonic() - begun_s


def refer(n_examples: int) -> bool:
    """Compare the job with its reference under random sequences; return whether they agree."""
    begun_s = time.monotonic()
    try:
        run_state_machine_as_test(JobMachine, settings=settings(TestJobMachine.settings, max_examples=n_examples))
    except Exception as error:  # noqa: BLE001 - the report shows any error
        print("BROKEN    the reference: " + "\n".join([str(error), *getattr(error, "__notes__", [])]), flush=True)
        return False
    print(f"{n_examples} runs  of up to 40 steps, as the reference ({time.monotonic() - begun_s:.0f} s)", flush=True)
    return True


def kill(n_records: int) -> bool:
    """Run a job in processes that are killed, on an emulator of its own; return whether the result is the same."""
    with TemporaryDirectory(prefix="glossa-prove-") as home:
        workspace = Workspace(ROOT, Path(home))
        try:
            os.environ.update(
                emulator.CREDENTIALS, AWS_DEFAULT_REGION=REGION, AWS_ENDPOINT_URL=emulator.start(workspace)
            )
            calm, killed, wrong = compare(n_records)
            with model_server() as url:
                late_s, wrong_too = cancel_job(url, n_records // 2)
        finally:
            emulator.stop(workspace)
    print(f"left alone: {calm}\nkilled:     {killed}", flush=True)
    print(f"cancelled:  the model was asked last {late_s:.2f} s after the answer (at most {CANCEL_S})", flush=True)
    if late_s > CANCEL_S:
        wrong_too.append("a shard was begun too late")
    for each in (*wrong, *wrong_too):
        print(f"BROKEN    {each}", flush=True)
    return not wrong and not wrong_too


def simulate(n_processes: int) -> bool:
    """Try everything, several things at a time; return whether all holds."""
    sound, n_runs, n_caught = True, 0, 0
    with ProcessPoolExecutor(n_processes, mp_context=get_context("spawn")) as pool:
        for name, waiting in [(name, pool.submit(timed, do)) for name, do in steps()]:
            found, seconds = waiting.result()
            bug = name.startswith("bug:")
            sound &= bug == isinstance(found, Finding)
            n_caught += bug and isinstance(found, Finding)
            n_runs += found if isinstance(found, int) else found.n_runs
            print(f"{_verdict(found, bug=bug):9s} {name} ({seconds:.0f} s)", flush=True)
            if isinstance(found, Finding) or bug:
                print("    " + str(found).replace("\n", "\n    "), flush=True)
    print(f"simulator: {n_runs} runs; {n_caught} of {len(MUTATIONS)} planted bugs caught")
    return sound


def _verdict(found: Finding | int, *, bug: bool) -> str:
    if isinstance(found, Finding):
        return "caught" if bug else "BROKEN"
    return "UNSEEN" if bug else f"{found} runs"


def main() -> int:
    """Run the parts that the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--records", type=int, default=10_000, help="of the job whose workers are killed; 0: none")
    parser.add_argument("--only-kill", action="store_true", help="leave the simulator out")
    asked = parser.parse_args()
    begun_s = time.monotonic()
    sound = asked.only_kill or (simulate(asked.processes) & refer(EXAMPLES))
    if asked.records:
        sound &= kill(asked.records)
    print(f"{'all holds' if sound else 'A PROMISE IS BROKEN'} ({time.monotonic() - begun_s:.0f} s)")
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
