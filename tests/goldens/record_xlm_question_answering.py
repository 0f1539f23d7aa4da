"""Records how the pipeline of transformers 4.57 reads start and end logits of `XLMForQuestionAnsweringSimple`.

    /tmp/recording/bin/pip install sacremoses pydantic  # in addition to those of `record_question_answering`
    /tmp/recording/bin/python -m tests.goldens.record_xlm_question_answering

Logits are random, so no weights need to be equal. Ids, masks and scores are the pipeline's own.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers

from tests.unit.functions.tokenizers import tiny_xlm

FILE = Path(__file__).parent / "xlm_question_answering.json"
TEXTS = (
    ("Who was born free?", "All human beings are born free and equal in dignity and rights."),
    ("Where?", "In \u2603 and \u2603\u2603 they met, 1 \u2603 later."),  # not in the vocabulary
    ("A </s> in it?", "Nothing here has an answer."),
)
MANY = 12


def main() -> None:
    """Record every case. In the last, where no answer is likely, the whole pipeline would raise a KeyError."""
    if not transformers.__version__.startswith("4.57."):
        sys.exit(f"got transformers {transformers.__version__}, expected 4.57: see the first lines of this file")
    with tempfile.TemporaryDirectory() as folder:
        tiny_xlm.write_tokenizer(Path(folder))
        tokenizer: Any = tiny_xlm.load_reference(Path(folder))
    config = transformers.XLMConfig(vocab_size=len(tokenizer), emb_dim=8, n_layers=1, n_heads=1)
    model: Any = transformers.XLMForQuestionAnsweringSimple(config)
    make_pipeline: Any = transformers.pipeline  # overloads for every task
    pipe = make_pipeline("question-answering", model=model, tokenizer=tokenizer, device="cpu")
    cases = [_recorded(pipe, seed, *texts) for seed, texts in enumerate(TEXTS)]
    FILE.write_text(json.dumps(cases, ensure_ascii=True) + "\n", encoding="utf-8")


def _recorded(pipe: Any, seed: int, question: str, context: str) -> dict[str, Any]:
    from transformers.pipelines.question_answering import select_starts_ends  # noqa: PLC0415 - 4.57 alone has it

    [read] = pipe.preprocess(pipe.create_sample(question=question, context=context))
    n_tokens = int(read["attention_mask"].sum())
    drawn = torch.Generator().manual_seed(seed)
    logits = torch.round(torch.randn(2, 1, read["input_ids"].shape[1], generator=drawn) * 2, decimals=3)
    *spans, none = select_starts_ends(
        *logits.numpy(), read["p_mask"].numpy(), read["attention_mask"].numpy(), 1_000_000, MANY, True, 15
    )
    types = read["token_type_ids"][0, :n_tokens].tolist()
    return {
        "question": question, "context": context, "input_ids": read["input_ids"][0, :n_tokens].tolist(),
        "token_type_ids": types, "start": logits[0, 0, :n_tokens].tolist(), "end": logits[1, 0, :n_tokens].tolist(),
        "spans": [[float(score), int(a), int(b)] for a, b, score in zip(*spans, strict=True)], "none": float(none),
    }  # fmt: skip


if __name__ == "__main__":
    main()
