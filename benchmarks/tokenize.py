"""Compares our tokenizer with the library `tokenizers`: speed, load time and memory at three sizes of vocabulary.

    python -m benchmarks.tokenize [--mix sib-mix|short|long]

Each runs in a process of its own, and both read the same texts round by round. The first round is cold for both,
because the library keeps words it has seen. The sizes are the first mini's 32k, 250k (XLM-R) and 902k (XLM-V), which
`benchmarks.inputs.vocabularies` makes. The ids of all texts are compared before anything is timed.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path

import tokenizers

from benchmarks import ROOT
from benchmarks.inputs import vocabularies
from benchmarks.inputs.workload import MIXES, texts_of
from benchmarks.reporting.report import Goal, Report, Row, at_least, at_most, finish, options, progress, row_of
from functions.tokenizers.load import load_tokenizers
from glossa.commands.artifacts import write_artifacts
from shared.catalog import load_catalog

OURS, THEIRS = "glossa", "tokenizers"
TARGETS = {"ids": 5.0, "spans": 3.0}
PEAK_MIB = {"250k": 220.0, "902k": 450.0}
N_ROUNDS, N_QUICK_ROUNDS = 9, 3
CATALOG = """default_model = "sized"

[models.sized]
family = "xlm-roberta"
checkpoint = "."
weights_sha256 = "{zeros}"
tokenizer_sha256 = "{sha256}"
max_tokens = 512
vocab_size = {vocab_size}
pad_id = 1
mask_id = {mask_id}
mask_token = "<mask>"
tokens_per_s = 1000.0

[models.sized.heads.topic]
task = "text-classification"
prefix = "heads.topic"
labels = ["a", "b"]
default = true
"""
Answer = Mapping[str, float]


def main() -> int:
    """Measure every size on one mix."""
    parser = options(__doc__)
    parser.add_argument("--mix", choices=MIXES, default="sib-mix")
    parser.add_argument("--folder", type=Path, default=Path("build/bench/vocabularies"), help="where they are kept")
    chosen = parser.parse_args()
    texts = texts_of(chosen.mix)
    sizes = list(vocabularies.SIZES)[:2] if chosen.quick else list(vocabularies.SIZES)
    reports = []
    for size in sizes:
        folder = write_tokenizer_folder(size, chosen.folder)
        progress(f"  {size}: {check(folder, texts)} texts have the same ids")
        reports.append(_measure(size, folder, chosen.mix, texts, N_QUICK_ROUNDS if chosen.quick else N_ROUNDS))
    return finish(reports, as_json=chosen.json)


def write_tokenizer_folder(size: str, folder: Path) -> Path:
    """Write one tokenizer with its catalog and artifacts, as a package has them. Return the folder."""
    path = vocabularies.make(size, folder)
    text = CATALOG.format(
        zeros="0" * 64, sha256=sha256(path.read_bytes()).hexdigest(), vocab_size=vocabularies.SIZES[size],
        mask_id=vocabularies.SIZES[size] - 1,
    )  # fmt: skip
    (path.parent / "catalog.toml").write_text(text, encoding="utf-8")
    write_artifacts(load_catalog(path.parent / "catalog.toml"), path.parent, path.parent / "artifacts")
    return path.parent


def check(folder: Path, texts: Sequence[str]) -> int:
    """Return how many texts were compared. Raises RuntimeError at the first text with other ids."""
    [ours] = load_tokenizers(load_catalog(folder / "catalog.toml"), folder / "artifacts").values()
    theirs = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    for text in texts:
        found, wanted = list(ours.encode(text).ids), theirs.encode(text, add_special_tokens=False).ids
        if found != wanted:
            raise RuntimeError(f"got {found}, the library reads {wanted} in {text[:60]!a}")
    return len(texts)


def _measure(size: str, folder: Path, mix: str, texts: Sequence[str], n_rounds: int) -> Report:
    rates: dict[tuple[str, str], list[float]] = {}
    cold: dict[tuple[str, str], float] = {}
    peaks: dict[str, float] = {}
    n_chars = sum(map(len, texts))
    with ExitStack() as stack:
        running = {name: stack.enter_context(_started(name, folder, texts)) for name in (OURS, THEIRS)}
        for number in range(n_rounds):
            for kind in TARGETS:
                for name, (process, _) in running.items():
                    answer = _ask(process, kind)
                    rate = n_chars / answer["seconds"] / 1e6
                    if number == 0:
                        cold[name, kind] = rate
                    else:
                        rates.setdefault((name, kind), []).append(rate)
                    peaks[name] = answer["peak_mib"]
        loads = {name: loaded for name, (_, loaded) in running.items()}
    rows = [row_of(name, f"{kind}, Mchar/s", found) for (name, kind), found in rates.items()]
    rows += [row_of(name, f"{kind}, first time, Mchar/s", [rate]) for (name, kind), rate in cold.items()]
    rows += [row_of(name, "load s", [loaded["load_s"]]) for name, loaded in loads.items()]
    rows += [row_of(name, "peak MiB, whole process", [peak]) for name, peak in peaks.items()]
    return Report("tokenize", f"{size}, {mix}", tuple(rows), tuple(_goals(size, rows, peaks)))


def _goals(size: str, rows: Sequence[Row], peaks: Mapping[str, float]) -> Iterator[Goal]:
    values = {(row.system, row.metric): row.value for row in rows}
    for kind, target in TARGETS.items():
        metric = f"{kind}, Mchar/s"
        yield at_least(f"times tokenizers, {kind}, {size}", values[OURS, metric] / values[THEIRS, metric], target)
    if size in PEAK_MIB:
        yield at_most(f"peak MiB, {size}", peaks[OURS], PEAK_MIB[size])


@contextmanager
def _started(name: str, folder: Path, texts: Sequence[str]) -> Iterator[tuple[subprocess.Popen[str], Answer]]:
    with tempfile.TemporaryDirectory() as work:
        path = Path(work) / "texts.json"
        path.write_text(json.dumps(texts), encoding="utf-8")
        command = [
            str(ROOT / ".venv" / "bin" / "python"), str(ROOT / "benchmarks" / "systems" / "tokenizing.py"),
            "--system", name, "--folder", str(folder), "--texts", str(path),
        ]  # fmt: skip
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TOKENIZERS_PARALLELISM": "false"}
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        try:
            yield process, _answer(process)
        finally:
            process.kill()
            process.wait(timeout=10)


def _ask(process: subprocess.Popen[str], kind: str) -> Answer:
    if process.stdin is None:
        raise RuntimeError("got a process without standard input. This is a bug.")
    process.stdin.write(f"{kind}\n")
    process.stdin.flush()
    return _answer(process)


def _answer(process: subprocess.Popen[str]) -> Answer:
    line = process.stdout.readline() if process.stdout is not None else ""
    if not line:
        raise RuntimeError(f"a tokenizer's process ended with status {process.wait(timeout=10)}")
    answer: Answer = json.loads(line)
    return answer


if __name__ == "__main__":
    raise SystemExit(main())
