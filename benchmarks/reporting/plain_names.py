"""Spells out the short names of runs, systems, figures and goals for readers of `RESULTS.md`.

Results are kept under short names. A name that is not listed here is printed as it is. Must not know any figure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

Patterns = tuple[tuple[str, Callable[[re.Match[str]], str]], ...]

RUNS: Mapping[str, str] = {  # in the order of the page
    "engine-base": "Engine alone: base, classification",
    "engine-base-short": "Engine alone: base, short texts",
    "engine-base-long": "Engine alone: base, texts of 512 tokens",
    "engine-base-entities": "Engine alone: base, entities",
    "engine-base-qa": "Engine alone: base, question answering",
    "engine-large": "Engine alone: large, classification",
    "fill-mask-base": "Fill-mask: base",
    "fill-mask-xlm-v": "Fill-mask: XLM-V",
    "serving-base": "Servers under load: base",
    "serving-base-int8": "Servers under load: base, Glossa in int8",
    "serving-mini": "Servers under load: mini",
    "scheduler-base": "Latency under load of mixed lengths: base",
    "cores-base": "More cores, simulated: base, tokens per second",
    "cores-latency-base": "More cores, simulated: base, latency",
    "end-to-end-base": "Whole requests, from text to labels: base",
    "tokenize": "Tokenizing",
    "pipeline": "The functions' part of a request",
    "cold-start": "Start of the Lambda functions",
    "batch": "Batch jobs: speed",
    "batch-memory": "Batch jobs: memory",
    "gpu": "Engine on a GPU",
}
METRICS: Mapping[str, str] = {
    "tokens/s": "tokens per second",
    "requests/s": "requests per second",
    "records/s": "records per second",
    "MiB/s": "MiB of the object per second",
    "p50 ms": "median latency, ms",
    "p99 ms": "99th percentile of latency, ms",
    "own p50 ms": "median time in the function itself, ms",
    "peak MiB": "peak memory, MiB",
    "peak MiB, whole process": "peak memory of the process, MiB",
    "libraries + weights MiB": "libraries and weights, MiB",
    "MiB beside them": "peak memory beside libraries and weights, MiB",
    "init s": "init, s",
    "init CPU s": "CPU time of init, s",
    "first ms": "first call, ms",
    "warm ms, p50": "median warm call, ms",
    "longest wait ms": "longest wait in the queue, ms",
    "bound of the wait ms": "bound of the longest wait, ms",
    "p99 over a lone one": "99th percentile over the median of a lone request, times",
    "p99 over parallel passes without overhead": "99th percentile over that of passes without overhead, times",
    "p99 over a lone one's p99": "99th percentile over that of a lone request, times",
    "ms a lone request costs over its pass": "time of a lone request beside its forward pass, ms",
    "ids, Mchar/s": "token ids only, million characters per second",
    "spans, Mchar/s": "token ids and offsets, million characters per second",
    "ids, first time, Mchar/s": "token ids only, first pass, million characters per second",
    "spans, first time, Mchar/s": "token ids and offsets, first pass, million characters per second",
    "load s": "load time, s",
    "ms": "time, ms",
    "texts/s, 1 a request": "texts per second, 1 a request",
    "texts/s, 32 a request": "texts per second, 32 a request",
}
SYSTEMS: Mapping[str, str] = {
    "limit: bf16 matmul peak": "limit: the best bfloat16 matrix products of this machine alone",
    "glossa": "Glossa",
    "glossa bfloat16": "Glossa, bfloat16",
    "glossa int8": "Glossa, int8",
    "glossa fp8": "Glossa, fp8",
    "glossa engine alone": "Glossa, engine alone",
    "glossa, Ray Serve, HAProxy": "Glossa, behind Ray Serve and HAProxy",
    "infinity": "infinity",
    "infinity bf16 (texts)": "infinity, bfloat16, gets texts",
    "openvino bf16 sorted 16": "OpenVINO, bfloat16, 16 rows sorted by length",
    "openvino bf16 sorted 16, streams": "OpenVINO, bfloat16, 16 rows sorted by length, a batch on each core",
    "LitServe, OpenVINO bf16, one by one": "LitServe, OpenVINO bfloat16, one row at a time",
    "LitServe, OpenVINO bf16, 64 sorted 16": "LitServe, OpenVINO bfloat16, collects 64, 16 rows sorted by length",
    "LitServe, transformers bf16, 32": "LitServe, transformers bfloat16, 32 rows as they come",
    "Ray @serve.batch, OpenVINO bf16, 64 sorted 16": (
        "Ray `@serve.batch`, OpenVINO bfloat16, collects 64, 16 rows sorted by length"
    ),
    "Ray @serve.batch, transformers bf16, 32": "Ray `@serve.batch`, transformers bfloat16, 32 rows as they come",
    "engine alone": "engine alone",
    "batch job, 2 in flight": "batch job, 2 shards at once",
    "before": "before any work",
    "plan": "plan",
    "work": "work",
    "nothing": "a function that does nothing",
    "infer 32k": "infer, vocabulary of mini (32k)",
    "infer 250k": "infer, vocabulary of XLM-R (250k)",
    "infer 902k": "infer, vocabulary of XLM-V (902k)",
    "all, 64 connections": "all rows, 64 connections",
    "short, without the others": "short rows alone, at the same rate",
}
ROWS_OF_A_BATCH = {"padded": "as they come", "sorted": "sorted by length"}
READ = {"ids": "token ids only", "spans": "token ids and offsets"}
ORDERS = {"arrival": "order of arrival", "least left": "least work first", "due": "earliest due first"}


GOALS: Mapping[str, str] = {
    "share of the limit": "speed as a share of the limit",
    "share of the engine alone": "speed as a share of the engine alone",
    "share of the engine alone, 64 connections": "speed with 64 connections as a share of the engine alone",
    "longest wait as a share of its bound": "longest wait in the queue as a share of its bound",
    "p99 of short rows over theirs without the others": (
        "99th percentile of short rows at 70 % load over that of short rows alone, times"
    ),
    "p99 of short at 70 % over parallel passes without overhead": (
        "99th percentile of short rows at 70 % load over that of passes without overhead, times"
    ),
    "p99 of long at 70 % over parallel passes without overhead": (
        "99th percentile of long rows at 70 % load over that of passes without overhead, times"
    ),
    "p99 of short at 70 % over a lone one": "99th percentile of short rows at 70 % load over a lone request, times",
    "p99 of long at 70 % over a lone one": "99th percentile of long rows at 70 % load over a lone request, times",
    "ms of the function itself, lone warm call": "time in the function itself in a lone warm call, ms",
    "texts/s, 1 a request": METRICS["texts/s, 1 a request"],
    "texts/s, 32 a request": METRICS["texts/s, 32 a request"],
}


def run_title(run: str) -> str:
    """Return the title of a run. `MACHINE/RUN` is a run on another machine."""
    machine, _, name = run.rpartition("/")
    return RUNS.get(name, name) + (f", on {machine}" if machine else "")


def run_order(run: str) -> tuple[int, str]:
    """Return the place of a run on the page, to sort by."""
    known, name = list(RUNS), run.rpartition("/")[2]
    return (known.index(name) if name in RUNS else len(known), run)


def metric_name(metric: str) -> str:
    """Return what a figure is, with its unit."""
    if found := re.fullmatch(r"(\d+) x (\d+): (.*)", metric):
        load = f"{_count(int(found[1]), 'text')} a request, {_count(int(found[2]), 'connection')}"
        return f"{load}: {metric_name(found[3])}"
    return METRICS.get(metric, metric)


def system_name(system: str) -> str:
    """Return what a system is."""
    return SYSTEMS.get(system) or _by_pattern(system, SYSTEM_PATTERNS) or system


def goal_name(goal: str) -> str:
    """Return what a goal is about."""
    return GOALS.get(goal) or _by_pattern(goal, GOAL_PATTERNS) or metric_name(goal)


def _by_pattern(name: str, patterns: Patterns) -> str:
    """Return the plain name of the first pattern that fits the whole name; empty when none fits."""
    return next((say(found) for pattern, say in patterns if (found := re.fullmatch(pattern, name))), "")


def _padded_rows(found: re.Match[str]) -> str:
    library = "ONNX Runtime" if found[1] == "onnxruntime" else found[1]
    return f"{library}, {found[2]}, {found[4]} rows {ROWS_OF_A_BATCH[found[3]]}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


SYSTEM_PATTERNS: Patterns = (
    (r"(transformers|onnxruntime) (\w+) (padded|sorted) (\d+)", _padded_rows),
    (r"transformers (\w+) one by one", lambda found: f"transformers, {found[1]}, one row at a time"),
    (r"lone (short|long)", lambda found: f"{found[1]} rows, one lone request at a time"),
    (r"(short|middle|long), at 70 %", lambda found: f"{found[1]} rows, all classes together at 70 % load"),
    (
        r"(short|long), parallel passes without overhead, (.*)",
        lambda found: f"{found[1]} rows, computed for passes without overhead, {ORDERS[found[2]]}",
    ),
)
GOAL_PATTERNS: Patterns = (
    (r"(?:ours in )?int8, (.*)", lambda found: f"Glossa in int8: {goal_name(found[1])}"),
    (
        r"times the best served peer \((.*)\)",
        lambda found: f"speed over the best other server ({system_name(found[1])}), times",
    ),
    (r"times tokenizers, (\w+), \w+", lambda found: f"speed over the library tokenizers, {READ[found[1]]}, times"),
    (r"times (.*)", lambda found: f"speed over {system_name(found[1])}, times"),
    (
        r"share of its memory: (.*)",
        lambda found: f"memory beside libraries and weights, as a share of {system_name(found[1])}",
    ),
    (r"(infer \w+): (.*)", lambda found: f"{system_name(found[1])}: {metric_name(found[2])}"),
    (r"peak MiB, \w+", lambda _: METRICS["peak MiB, whole process"]),
    (r"peak MiB after (plan|work)", lambda found: f"peak memory after {found[1]}, MiB"),
)
