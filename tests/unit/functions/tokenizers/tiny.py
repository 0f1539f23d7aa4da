"""Makes a tiny XLM-R: a tokenizer of the real layout and random checkpoints that transformers can load.

The sentences are Article 1 of the Universal Declaration of Human Rights, whose translations are free to use
(United Nations, OHCHR). It also answers calls with the forward pass of transformers, row by row, so that the pipeline
is tested without our engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import sentencepiece
import torch
import transformers

from shared.catalog import Model
from shared.messages import InferCall, ModelOutput, Tensor

MAX_TOKENS = 64
SENTENCES = [
    line.split("\t")[1] for line in (Path(__file__).parent / "sentences.tsv").read_text(encoding="utf-8").splitlines()
]
LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
NLI = ("contradiction", "neutral", "entailment")
KINDS = {
    "sequence": transformers.XLMRobertaForSequenceClassification,
    "tokens": transformers.XLMRobertaForTokenClassification,
    "mlm": transformers.XLMRobertaForMaskedLM,
    "backbone": transformers.XLMRobertaModel,
}


def write_tokenizer(folder: Path, vocab_size: int = 1200) -> Path:
    """Train a unigram model on the sentences, and write it as `tokenizer.json` with transformers."""
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES),
        model_prefix=str(folder / "sentencepiece.bpe"),
        vocab_size=vocab_size,
        normalization_rule_name="nmt_nfkc",
        unk_id=0, bos_id=1, eos_id=2, pad_id=-1,
        hard_vocab_limit=False, num_threads=1, minloglevel=2,
    )  # fmt: skip
    made = transformers.XLMRobertaTokenizer.from_pretrained(str(folder), model_max_length=MAX_TOKENS)
    made.save_pretrained(str(folder))
    return folder / "tokenizer.json"


def write_checkpoint(folder: Path, kind: str, labels: Sequence[str] = LABELS, *, seed: int = 0) -> Any:
    """Draw random weights (std 0.2) for one kind of model, save them beside the tokenizer, and return the model."""
    torch.manual_seed(seed)
    vocab_size = len(transformers.AutoTokenizer.from_pretrained(str(folder)))
    config = transformers.XLMRobertaConfig(
        vocab_size=vocab_size, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=MAX_TOKENS + 2, type_vocab_size=1, pad_token_id=1, bos_token_id=0, eos_token_id=2,
        id2label=dict(enumerate(labels)), label2id={label: i for i, label in enumerate(labels)}, initializer_range=0.2,
    )  # fmt: skip
    model = KINDS[kind](config).eval()
    model.save_pretrained(str(folder))
    return model


def catalog_model(vocab_size: int, **changes: object) -> Model:
    """Return a catalog model with one head for each task."""
    entry: dict[str, object] = {
        "name": "tiny", "family": "xlm-roberta", "checkpoint": "nowhere", "weights_sha256": "0" * 64,
        "tokenizer_sha256": "0" * 64, "max_tokens": MAX_TOKENS, "vocab_size": vocab_size, "mask_id": vocab_size - 1,
        "mask_token": "<mask>", "tokens_per_s": 1000.0,
        "heads": {
            "topic": {"task": "text-classification", "prefix": "classifier", "labels": LABELS, "default": True},
            "entities": {"task": "token-classification", "prefix": "classifier", "labels": LABELS},
            "mlm": {"task": "fill-mask", "prefix": "lm_head"},
            "embed": {"task": "feature-extraction", "also": ["sentence-similarity"]},
            "nli": {"task": "text-classification", "also": ["zero-shot-classification"], "labels": NLI},
            "relevance": {"task": "text-classification", "also": ["rerank"], "labels": ["LABEL_0"]},
            "answers": {"task": "question-answering"},
            "beam": {"task": "question-answering", "variant": "beam"},
            "choice": {"task": "multiple-choice"},
            "lm": {"task": "text-generation"},
        },
    }  # fmt: skip
    return Model.model_validate(entry | changes)


def reference_infer(model: Any) -> Callable[[Sequence[InferCall]], list[ModelOutput]]:
    """Answer calls with a transformers model, one row at a time."""
    return lambda calls: [_answer(model, call) for call in calls]


def _answer(model: Any, call: InferCall) -> ModelOutput:
    ids = torch.tensor(call.input_ids.int_values().tolist())
    outputs = []
    start = 0
    counts = call.positions_per_row.int_values().tolist() if call.positions_per_row is not None else []
    places = call.positions.int_values().tolist() if call.positions is not None else []
    for row, length in enumerate(call.row_lengths.int_values().tolist()):
        with torch.no_grad():
            output = model(ids[None, start : start + length])
        mine, places = (places[: counts[row]], places[counts[row] :]) if counts else ([], [])
        outputs.append(_row_output(call, output, [place - start for place in mine]))
        start += length
    return ModelOutput({name: _packed([output[name] for output in outputs]) for name in outputs[0]}, {"queue": 0.25})


def _row_output(call: InferCall, output: Any, positions: list[int]) -> dict[str, torch.Tensor]:
    if "logits" not in output:
        states = output.last_hidden_state[0]
        pooled = {"mean": states.mean(0), "cls": states[0], "max": states.amax(0)}[call.pooling]
        return {"vectors": states if call.per_token else pooled[None]}
    logits = output.logits[0]
    if not positions:
        return {"logits": logits if logits.ndim == 2 else logits[None]}
    top = logits[positions].topk(call.top_k)
    found = {"top_ids": top.indices.int(), "top_logits": top.values, "log_sum_exp": logits[positions].logsumexp(-1)}
    if call.target_ids:
        found["target_logits"] = logits[positions][:, list(call.target_ids)]
    return found


def _packed(parts: list[torch.Tensor]) -> Tensor:
    whole = torch.cat(parts)
    make = Tensor.ints if whole.dtype == torch.int32 else Tensor.floats
    return make(whole.flatten().tolist(), tuple(whole.shape))
