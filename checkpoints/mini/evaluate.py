"""Prints the figures of the model card. It loads the exported folder with plain transformers classes.

    python checkpoints/mini/evaluate.py --model checkpoints/mini --data DATA [--only PART] [--least 0.65 0.9]

Each head is loaded by its reference class, with `heads.<name>.` renamed to `classifier.`. Of the training code only the
readers of the data run. Accuracies and F1 are fractions. Entity F1 is over exact (start, end, kind) spans in Unicode
code points (the CoNLL rule, Tjong Kim Sang & De Meulder 2003). Masked accuracy hides 15 % of the tokens, with one seed.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from finetuning.data import corpus
from safetensors.torch import load_file
from transformers import (
    AutoConfig,
    AutoTokenizer,
    XLMRobertaForMaskedLM,
    XLMRobertaForSequenceClassification,
    XLMRobertaForTokenClassification,
)

Span = tuple[int, int, str]


def reference(folder: Path, kind: Any, head: str, labels: int) -> Any:
    """Return a reference class with one head of the shipped file, in fp32."""
    tensors = load_file(folder / "model.safetensors")
    prefix = f"heads.{head}."
    mine = {k.replace(prefix, "classifier."): v.float() for k, v in tensors.items() if k.startswith(prefix)}
    body = {k: v.float() for k, v in tensors.items() if k.startswith(("roberta.", "lm_head."))}
    model = kind(AutoConfig.from_pretrained(str(folder), num_labels=labels))
    wanted = set(model.state_dict())
    missing, _ = model.load_state_dict({k: v for k, v in (body | mine).items() if k in wanted}, strict=False)
    if lost := [k for k in missing if not k.startswith("lm_head.decoder.")]:
        raise ValueError(f"got a file without {lost}")
    return model.float().eval()


def padded(tokenizer: Any, texts: list[str], size: int = 64) -> Iterator[tuple[list[int], Any]]:
    """Yield batches of texts of similar length: their indices, and the encoding cut at 512 tokens."""
    order = sorted(range(len(texts)), key=lambda n: len(texts[n].encode()))
    for at in range(0, len(order), size):
        part = order[at : at + size]
        yield (
            part,
            tokenizer(
                [texts[n] for n in part],
                padding=True,
                truncation=True,
                return_tensors="pt",
                return_offsets_mapping=True,
            ),
        )


@torch.inference_mode()
def classify(folder: Path, tokenizer: Any, head: str, texts: list[str]) -> list[int]:
    """Return the number of the best label of each text."""
    labels = json.loads((folder / "heads.json").read_text(encoding="utf-8"))[head]["labels"]
    model = reference(folder, XLMRobertaForSequenceClassification, head, len(labels))
    found = [0] * len(texts)
    for part, coded in padded(tokenizer, texts):
        coded.pop("offset_mapping")
        for n, best in zip(part, model(**coded).logits.argmax(1).tolist(), strict=True):
            found[n] = best
    return found


def spans(tags: list[str], offsets: list[tuple[int, int]], text: str) -> set[Span]:
    """Return the entities of one text. B- opens one, I- of the same kind continues it. Outer spaces do not count."""
    found: list[Span] = []
    previous = "O"
    for tag, (start, end) in zip(tags, offsets, strict=True):
        if start == end:
            continue
        if tag.startswith("I-") and previous[2:] == tag[2:]:
            found[-1] = (found[-1][0], end, tag[2:])
        elif tag != "O":
            found.append((start, end, tag[2:]))
        previous = tag
    trimmed = set()
    for start, end, kind in found:
        inner = text[start:end]
        trimmed.add((start + len(inner) - len(inner.lstrip()), end - len(inner) + len(inner.rstrip()), kind))
    return trimmed


@torch.inference_mode()
def entity_scores(folder: Path, tokenizer: Any, data: Path) -> dict[str, float]:
    """Return the exact-span F1 of each Universal NER language."""
    model = reference(folder, XLMRobertaForTokenClassification, "entities", len(corpus.TAGS))
    scores: dict[str, float] = {}
    for lang in [*corpus.ENTITY_LANGUAGES, "en"]:
        rows = corpus.entities(data, "dev", [lang])
        hit = said = gold = 0
        for part, coded in padded(tokenizer, [r.text for r in rows]):
            offsets = coded.pop("offset_mapping").tolist()
            best = model(**coded).logits.argmax(2).tolist()
            for n, places, numbers in zip(part, offsets, best, strict=True):
                given = spans([corpus.TAGS[b] for b in numbers], places, rows[n].text)
                hit += len(given & set(rows[n].spans))
                said, gold = said + len(given), gold + len(set(rows[n].spans))
        scores[lang] = 2 * hit / max(1, said + gold)
    return scores


def sentiment_scores(folder: Path, tokenizer: Any, data: Path) -> dict[str, dict[str, float]]:
    """Return the accuracy and macro-F1 of each sentiment language."""
    rows = corpus.opinions(data, "dev")
    given = classify(folder, tokenizer, "sentiment", [r.text for r in rows])
    scores: dict[str, dict[str, float]] = {}
    for lang in sorted({r.lang for r in rows}):
        pairs = [(r.label, g) for r, g in zip(rows, given, strict=True) if r.lang == lang]
        f1 = []
        for label in {gold for gold, _ in pairs}:
            hit = sum(gold == g == label for gold, g in pairs)
            f1.append(2 * hit / max(1, sum(gold == label for gold, _ in pairs) + sum(g == label for _, g in pairs)))
        scores[lang] = {"accuracy": sum(a == b for a, b in pairs) / len(pairs), "macro_f1": sum(f1) / len(f1)}
    return scores


@torch.inference_mode()
def masked_scores(folder: Path, tokenizer: Any, texts: list[str]) -> dict[str, float]:
    """Return the accuracy and perplexity with 15 % of the tokens hidden."""
    model = reference(folder, XLMRobertaForMaskedLM, "", 2)
    model.tie_weights()
    draw = torch.Generator().manual_seed(0)
    total, right, loss = 0, 0, 0.0
    for _, coded in padded(tokenizer, texts):
        coded.pop("offset_mapping")
        ids = coded["input_ids"]
        hidden = (torch.rand(ids.shape, generator=draw) < 0.15) & (ids > 3)
        logits = model(ids.masked_fill(hidden, tokenizer.mask_token_id), coded["attention_mask"]).logits[hidden]
        loss += torch.nn.functional.cross_entropy(logits, ids[hidden], reduction="sum").item()
        right += int((logits.argmax(1) == ids[hidden]).sum())
        total += int(hidden.sum())
    return {"accuracy": right / total, "perplexity": float(torch.tensor(loss / total).exp()), "tokens": total}


def sib_scores(folder: Path, tokenizer: Any, rows: list[corpus.Sentence], bound: list[float]) -> dict[str, Any]:
    """Return topic and language accuracy of each SIB-200 language. Raises ValueError when a mean is under its bound."""
    codes = json.loads((folder / "heads.json").read_text(encoding="utf-8"))["language"]["labels"]
    texts = [r.text for r in rows]
    gold = {"topic": [r.topic for r in rows], "language": [codes.index(r.lang) for r in rows]}
    report: dict[str, Any] = {}
    for (head, labels), least in zip(gold.items(), bound, strict=True):
        right = [a == b for a, b in zip(classify(folder, tokenizer, head, texts), labels, strict=True)]
        by_lang: dict[str, list[bool]] = {}
        for row, hit in zip(rows, right, strict=True):
            by_lang.setdefault(row.lang, []).append(hit)
        each = {lang: sum(hits) / len(hits) for lang, hits in by_lang.items()}
        report[head] = {"mean": sum(each.values()) / len(each), "each": each}
        if report[head]["mean"] < least:
            raise ValueError(f"got {head} accuracy {report[head]['mean']:.4f}, expected at least {least}")
    return report


def main() -> int:
    """Print the report as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", type=Path, help="also write the report here")
    parser.add_argument("--languages", type=int, default=205, help="look at so many SIB-200 languages, evenly chosen")
    parser.add_argument("--only", choices=["sib", "sentiment", "entities", "masked"], help="one part of the report")
    parser.add_argument("--least", type=float, nargs=2, default=[0.0, 0.0], metavar=("TOPIC", "LANGUAGE"))
    options = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(str(options.model))
    dev = corpus.sib_dev(options.data)
    chosen = sorted(dev)[:: max(1, len(dev) // options.languages)]
    rows = [row for lang in chosen for row in dev[lang]]
    parts: dict[str, Callable[[], Any]] = {
        "sib": lambda: sib_scores(options.model, tokenizer, rows, options.least),
        "sentiment": lambda: sentiment_scores(options.model, tokenizer, options.data),
        "entities": lambda: entity_scores(options.model, tokenizer, options.data),
        "masked": lambda: masked_scores(options.model, tokenizer, [r.text for r in rows[::10]]),
    }
    report = {name: part() for name, part in parts.items() if options.only in (None, name)}
    shown = json.dumps(report, indent=1)
    print(shown)
    if options.json:
        options.json.write_text(shown + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
