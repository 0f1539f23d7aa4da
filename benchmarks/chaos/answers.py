"""Makes the texts that are sent, and the right answer to each, by the engine in a process that nothing breaks.

Only texts whose answers cannot be taken for each other's are sent, so that a mixed answer is a wrong one. Must not know
the service.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import ROOT
from benchmarks.chaos.load import Corpus, Scores, told_apart
from benchmarks.chaos.scenarios import Texts
from benchmarks.inputs.workload import texts_of

MODEL = "mini:topic"
N_SHORT, N_LONG = 120, 12
JOINED = 5  # documents of at most 512 tokens in each long text
RUN_S = 300.0


def corpus(kind: Texts, folder: Path) -> Corpus:
    """Return the texts of a kind with their answers. They are kept in `folder`. Raises RuntimeError when that fails."""
    kept = folder / f"answers-{kind}.json"
    texts = short_texts() if kind == "short" else long_texts()
    if kept.exists() and (found := json.loads(kept.read_text(encoding="utf-8")))["texts"] == texts:
        scores = found["scores"]
    else:
        scores = right_scores(texts)
        kept.write_text(json.dumps({"texts": texts, "scores": scores}, ensure_ascii=False), encoding="utf-8")
    places = told_apart(scores)
    return Corpus(MODEL, [texts[place] for place in places], [scores[place] for place in places])


def short_texts() -> list[str]:
    """Return sentences of many languages."""
    return list(dict.fromkeys(texts_of("sib-mix")))[:N_SHORT]


def long_texts() -> list[str]:
    """Return texts of about 2,000 tokens, each of several windows."""
    documents = texts_of("long")
    return ["\n\n".join(documents[n * JOINED : (n + 1) * JOINED]) for n in range(N_LONG)]


def right_scores(texts: Sequence[str]) -> list[Scores]:
    """Answer texts with `glossa run`; return the scores of all labels of each. Raises RuntimeError with its words."""
    command = [sys.executable, "-m", "glossa", "run", "--task", "text-classification", "--model", MODEL]
    lines = "".join(json.dumps(text, ensure_ascii=False) + "\n" for text in texts)
    done = subprocess.run(
        [*command, "--param", "top_k=null"], cwd=ROOT, input=lines.encode(), capture_output=True, check=False,
        timeout=RUN_S,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"glossa run failed: {done.stderr.decode()[-500:]}")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return [{entry["label"]: entry["score"] for entry in answer} for answer in answers]
