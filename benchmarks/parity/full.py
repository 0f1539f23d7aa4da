"""Checks the models at their real sizes with random weights: base, large, XLM-V and XL.

Each runs in a process of its own. XL and XLM-V are judged in bfloat16, as they are served. The checkpoint is in a
temporary folder and is deleted afterwards.
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
from serve.engine.bounds import CLOSE_AT_REAL_SIZE, EXACT_AT_REAL_SIZE
from serve.engine.load_engine import load_engine
from serve.rows.row import RowResult, row_of
from tests.checkpoints import catalog_model

SIZES = (("base", "float32"), ("base", "bfloat16"), ("large", "float32"), ("large", "bfloat16"),
         ("xlm-v", "bfloat16"), ("xl", "bfloat16"))  # fmt: skip
LENGTHS = (5, 33, 128, 512)
LENGTHS_XL = (5, 33, 128)
TOP_K = 5
TIMEOUT_S = 900
LEAST_FREE_BYTES = {"xl": 13 * 2**30}


def lines() -> Iterator[Line]:
    """Judge every size, one after the other."""
    for size, dtype in SIZES:
        what = f"full size {size}, fill-mask at {len(LENGTHS)} texts"
        yield attempt(what, dtype, partial(_judge, what, size, dtype))


def _judge(what: str, size: str, dtype: str) -> Line:
    if (least := LEAST_FREE_BYTES.get(size, 0)) > (free := _free_bytes()):
        raise MemoryError(f"got {free / 2**30:.1f} GiB free, expected {least / 2**30:.0f}")
    with tempfile.TemporaryDirectory() as folder:
        real_size.draw(size, Path(folder))
        ran = subprocess.run(
            [sys.executable, "-m", "benchmarks.parity.full", size, dtype, folder],
            capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
    if ran.returncode:
        raise RuntimeError(ran.stderr.strip().splitlines()[-1] if ran.stderr else f"exit status {ran.returncode}")
    found = json.loads(ran.stdout.splitlines()[-1])
    return within(what, dtype, found["distance"], found["bound"], f"std {found['std']:.2f}")


def compare(size: str, dtype: str, folder: Path) -> dict[str, float]:
    """Judge one size. The reference answers first and is freed before the engine loads."""
    model = catalog_model(folder, dtype=dtype)
    generator = torch.Generator().manual_seed(1)
    lengths = LENGTHS_XL if size == "xl" else LENGTHS
    texts = [torch.randint(4, model.vocab_size, (n,), generator=generator).tolist() for n in lengths]
    positions = [tuple(sorted({0, n // 2, n - 1})) for n in lengths]
    expected = torch.cat(real_size.read(size, folder, texts, positions))
    rows = [row_of(ids, "mlm", positions=at, top_k=TOP_K) for ids, at in zip(texts, positions, strict=True)]
    results = load_engine(model, folder, device="cpu").forward(rows)
    ours = torch.cat([_column(result, "top_logits") for result in results])
    ids = torch.cat([_column(result, "top_ids") for result in results]).long()
    total = torch.cat([_column(result, "log_sum_exp") for result in results])
    pairs = ((ours, expected.topk(TOP_K).values), (ours, expected.gather(1, ids)), (total, expected.logsumexp(-1)))
    mine, theirs = (torch.cat([pair[side].flatten() for pair in pairs]) for side in (0, 1))
    if dtype == "float32":
        largest = max(1.0, float(expected.abs().max()))
        distance, bound = float((mine - theirs).abs().max()), EXACT_AT_REAL_SIZE * largest
    else:
        distance, bound = float((mine - theirs).norm() / theirs.norm()), CLOSE_AT_REAL_SIZE
    return {"distance": distance, "bound": bound, "std": float(expected.std())}


def _column(result: RowResult, name: str) -> torch.Tensor:
    if not isinstance(result, dict):
        raise TypeError(f"got {result!r}, expected an answer")
    return torch.as_tensor(result[name])


def _free_bytes() -> int:
    """Return the available bytes by Linux's count, which includes page cache that it can free."""
    lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))


if __name__ == "__main__":
    torch.set_num_threads(2)
    print(json.dumps(compare(sys.argv[1], sys.argv[2], Path(sys.argv[3]))))
