"""Records answers of transformers 4.57, the last version with a question answering pipeline, for a tiny checkpoint.

    python -m venv /tmp/recording
    /tmp/recording/bin/pip install "transformers==4.57.*" "torch==2.13.0"
    /tmp/recording/bin/python -m tests.goldens.record_question_answering

Writes `question_answering.json` into this folder: each case with its question and answer. The file also has the digests
of weights and tokenizer. `test_question_answering.py` checks them before it compares the answers.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers

from tests.goldens import toy_checkpoint

FILE = Path(__file__).parent / "question_answering.json"
TEXTS = (Path(__file__).parent / "questions.tsv").read_text(encoding="utf-8")
TIES = ("en", "What? \u201cWhat\u201d?", "a A a a b. A a\u00a0b a\nb a")  # equal answers add up


def cases() -> Iterator[dict[str, Any]]:
    """Yield the cases: question, context and the pipeline's own parameters."""
    texts = [tuple(line.split("\t")) for line in TEXTS.splitlines()]
    for at, (lang, question, context) in enumerate((*texts, TIES)):
        case = {"lang": lang, "question": question, "context": context}
        yield {**case, "parameters": {}}
        yield {**case, "parameters": {"top_k": 4, "align_to_words": at % 2 == 0, "max_answer_len": 3 + at}}
        yield {**case, "parameters": {"max_seq_len": 40, "doc_stride": at, "top_k": 2, "max_answer_len": 5}}
        yield {**case, "parameters": {"handle_impossible_answer": True, "top_k": 3, "align_to_words": at % 3 > 0}}
    long = " ".join(context for _, _, context in texts)
    for at in (0, 3, 9, 12):
        case = {"lang": texts[at][0], "question": texts[at][1], "context": long}
        yield {**case, "parameters": {"top_k": 3}}
        yield {**case, "parameters": {"doc_stride": 32, "max_seq_len": 128, "handle_impossible_answer": at > 0}}
        yield {**case, "parameters": {"doc_stride": 0, "max_seq_len": 100, "top_k": 10, "align_to_words": False}}


def main() -> None:
    """Record every case."""
    if not transformers.__version__.startswith("4.57."):
        sys.exit(f"got transformers {transformers.__version__}, expected 4.57: see the first lines of this file")
    model = toy_checkpoint.draw()
    with tempfile.TemporaryDirectory() as folder:
        toy_checkpoint.write(model, Path(folder))
        make_pipeline: Any = transformers.pipeline  # overloads for every task
        pipe = make_pipeline("question-answering", model=folder, tokenizer=folder, device="cpu")
        answered = [
            {**case, "answer": pipe(question=case["question"], context=case["context"], **case["parameters"])}
            for case in cases()
        ]
    versions = {each.__name__: each.__version__ for each in (transformers, tokenizers, torch)}
    digests = {"weights_sha256": toy_checkpoint.digest(model), "tokenizer_sha256": toy_checkpoint.tokenizer_digest()}
    head = json.dumps({"recorded_with": versions, **digests, "cases": []})
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in answered)
    FILE.write_text(f"{head[:-2]}\n{lines}\n]}}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
