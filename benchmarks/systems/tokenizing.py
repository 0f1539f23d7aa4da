"""Runs one tokenizer in a process of its own: loads it, reports time and memory, then reads the texts again and again.

Takes `--system glossa|tokenizers --folder F --texts FILE`. A line "ids" or "spans" on standard input is one round. The
answer has its seconds: of one pass in the first round, else the mean of as many passes as take ROUND_S. After a pause,
a few milliseconds would only measure how fast a core wakes up. Texts are read one by one, as the tokenize stage does
it. Where a library is faster with many texts (`tokenizers`, ids alone), that way is timed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.reporting.memory import peak_mib

Round = Callable[[list[str]], object]
ROUND_S = 0.3


def glossa(folder: Path) -> tuple[dict[str, Round], float]:
    """Load the prebuilt form and check its sha256, as functions do."""
    from functions.tokenizers.load import load_tokenizers  # noqa: PLC0415 - each process imports only its own system
    from shared.catalog import load_catalog  # noqa: PLC0415 - each process imports only its own system

    began_s = time.perf_counter()
    [tokenizer] = load_tokenizers(load_catalog(folder / "catalog.toml"), folder / "artifacts").values()
    found: Any = tokenizer
    found.encode("a")
    load_s = time.perf_counter() - began_s
    return {
        "ids": lambda texts: [found.ids(text) for text in texts],
        "spans": lambda texts: [found.encode(text) for text in texts],
    }, load_s


def tokenizers(folder: Path) -> tuple[dict[str, Round], float]:
    """Load tokenizer.json with the library `tokenizers`."""
    from tokenizers import Tokenizer  # noqa: PLC0415 - each process imports only its own system

    began_s = time.perf_counter()
    found = Tokenizer.from_file(str(folder / "tokenizer.json"))
    found.encode("a")
    load_s = time.perf_counter() - began_s

    def spans(texts: list[str]) -> object:
        return [(e.ids, e.offsets) for e in (found.encode(text, add_special_tokens=False) for text in texts)]

    return {
        "ids": lambda texts: [e.ids for e in found.encode_batch_fast(texts, add_special_tokens=False)],
        "spans": spans,
    }, load_s


def main() -> None:
    """Load, then answer rounds until the input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--system", choices=("glossa", "tokenizers"))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--texts", type=Path)
    chosen = parser.parse_args()
    texts = json.loads(chosen.texts.read_text(encoding="utf-8"))
    rounds, load_s = {"glossa": glossa, "tokenizers": tokenizers}[chosen.system](chosen.folder)
    print(json.dumps({"load_s": load_s, "peak_mib": peak_mib()}), flush=True)
    least_s = dict.fromkeys(rounds, 0.0)
    for line in sys.stdin:
        name = line.strip()
        seconds = _pass_s(rounds[name], texts, least_s[name])
        print(json.dumps({"seconds": seconds, "peak_mib": peak_mib()}), flush=True)
        least_s[name] = ROUND_S


def _pass_s(read: Round, texts: list[str], least_s: float) -> float:
    """Return the mean seconds of as many passes as take `least_s`, at least one."""
    began_s = time.perf_counter()
    n_passes = 0
    while not n_passes or time.perf_counter() - began_s < least_s:
        read(texts)
        n_passes += 1
    return (time.perf_counter() - began_s) / n_passes


if __name__ == "__main__":
    main()
