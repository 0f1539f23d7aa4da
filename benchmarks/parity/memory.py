"""Checks the peak memory of fill-mask on XLM-V at its real size: 32 masked texts of 512 tokens.

The texts are batched as `infer` does it. The measurement runs in a process of its own. It is the peak of resident
memory over what the process holds once all weights are loaded. Linux only.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch

from benchmarks.parity import real_size
from benchmarks.parity.table import Line, attempt, within
from serve.engine.load_engine import load_engine
from serve.engine.run_call import infer
from shared.messages import InferCall, Tensor
from tests.checkpoints import catalog_model

N_TEXTS, N_TOKENS, TOP_K = 32, 512, 5
LIMIT_MB = 300.0
TIMEOUT_S = 900


def lines() -> Iterator[Line]:
    """Measure in bfloat16, with plain and with int8 embedding rows."""
    for precision, fields in (("bfloat16", {}), ("bfloat16 int8 rows", {"int8_embeddings": True})):
        what = "full size xlm-v, fill-mask 32 x 512: MB over weights"
        yield attempt(what, precision, partial(_judge, what, precision, fields))


def _judge(what: str, precision: str, fields: dict[str, bool]) -> Line:
    with tempfile.TemporaryDirectory() as folder:
        n_bytes = real_size.draw("xlm-v", Path(folder))
        ran = subprocess.run(
            [sys.executable, "-m", "benchmarks.parity.memory", folder, json.dumps(fields)],
            capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
    if ran.returncode:
        raise RuntimeError(ran.stderr.strip().splitlines()[-1] if ran.stderr else f"exit status {ran.returncode}")
    found = json.loads(ran.stdout.splitlines()[-1])
    note = f"checkpoint {n_bytes / 1e6:.0f} MB; loaded {found['loaded']:.0f}, peak while loading {found['loading']:.0f}"
    return within(what, precision, found["over"], LIMIT_MB, note)


def measure(folder: Path, fields: dict[str, bool]) -> dict[str, float]:
    """Return MB: `loaded` and the peak `loading`, both without libraries, and the peak `over` loaded in the call."""
    model = catalog_model(folder, dtype="bfloat16", **fields)
    empty_mb = status_mb("VmRSS")
    engine = load_engine(model, folder, device="cpu")
    infer(engine, _call(model.vocab_size, n_texts=1, n_tokens=8))
    loaded_mb, loading_mb = status_mb("VmRSS"), status_mb("VmHWM")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak is counted from here on
    infer(engine, _call(model.vocab_size, n_texts=N_TEXTS, n_tokens=N_TOKENS))
    return {
        "loaded": loaded_mb - empty_mb,
        "loading": loading_mb - empty_mb,
        "over": status_mb("VmHWM") - loaded_mb,
    }


def status_mb(name: str) -> float:
    """Return a memory figure of this process in megabytes (10^6 bytes)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1e6


def _call(vocab_size: int, *, n_texts: int, n_tokens: int) -> InferCall:
    ids = torch.randint(4, vocab_size, (n_texts * n_tokens,), generator=torch.Generator().manual_seed(2))
    return InferCall(
        model="judged", head="mlm", top_k=TOP_K,
        input_ids=Tensor.ints(ids.tolist()), row_lengths=Tensor.ints([n_tokens] * n_texts),
        positions=Tensor.ints([row * n_tokens + n_tokens // 2 for row in range(n_texts)]),
        positions_per_row=Tensor.ints([1] * n_texts),
    )  # fmt: skip


if __name__ == "__main__":
    torch.set_num_threads(2)
    print(json.dumps(measure(Path(sys.argv[1]), json.loads(sys.argv[2]))))
