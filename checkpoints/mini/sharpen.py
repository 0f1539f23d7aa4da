"""Fits the entity head again on the finished backbone, so that few tags are nearly ties.

    python checkpoints/mini/sharpen.py --model checkpoints/mini --data DATA

Half precision may decide a near tie differently. The loss is cross-entropy on tagged sentences. On plain sentences a
hinge loss moves the two best tags of a token one nat apart. The backbone and all other heads stay as they are.
"""

from __future__ import annotations

import argparse
import csv
import lzma
from itertools import islice
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from evaluate import padded, reference
from finetuning.data import corpus
from recipe import segment
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, XLMRobertaForTokenClassification

N_STEPS, RATE, DECAY = 300, 5e-3, 1e-3
MARGIN, HINGE = 1.0, 1.0  # the margin in nats, and the weight of the hinge loss
N_TAGGED, N_PLAIN = 8_192, 16_384  # tokens a step
EVERY_TAGGED, EVERY_PLAIN = 4, 37  # take every 4th tagged and every 37th plain sentence
MAX_TOKENS = 128
NAMES = "heads.entities.weight", "heads.entities.bias"


@torch.no_grad()
def states(folder: Path, texts: list[str]) -> tuple[list[torch.Tensor], list[list[tuple[int, int]]]]:
    """Return the last states [tokens, width] and the offsets of each text, without special tokens."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = reference(folder, XLMRobertaForTokenClassification, "entities", len(corpus.TAGS)).roberta
    found: list[torch.Tensor] = [torch.empty(0)] * len(texts)
    offsets: list[list[tuple[int, int]]] = [[] for _ in texts]
    for part, coded in padded(tokenizer, texts):
        batch_offsets = coded.pop("offset_mapping").tolist()
        lengths = coded["attention_mask"].sum(1).tolist()
        last = model(**coded).last_hidden_state
        for n, row, own, length in zip(part, last, batch_offsets, lengths, strict=True):
            found[n] = row[1 : length - 1].clone()
            offsets[n] = [(start, end) for start, end in own[1 : length - 1]]
    return found, offsets


def plain_texts(data: Path) -> list[str]:
    """Return every nth training sentence of SIB-200."""
    with lzma.open(data / "sib200" / "train.tsv.xz", "rt", encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [row["text"] for row in islice(rows, 0, None, EVERY_PLAIN)]


def fit(
    tagged: torch.Tensor, tags: torch.Tensor, plain: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the weight [tags, width] and bias [tags] of the head, fitted from the given ones."""
    weight, bias = weight.clone().requires_grad_(), bias.clone().requires_grad_()
    optimizer = torch.optim.Adam([weight, bias], lr=RATE)
    draw = torch.Generator().manual_seed(0)
    for step in range(N_STEPS):
        optimizer.param_groups[0]["lr"] = RATE * (1 - step / N_STEPS)
        some = torch.randint(len(tagged), (N_TAGGED,), generator=draw)
        others = torch.randint(len(plain), (N_PLAIN,), generator=draw)
        best = F.linear(plain[others], weight, bias).topk(2, 1).values
        loss = F.cross_entropy(F.linear(tagged[some], weight, bias), tags[some])
        loss = loss + HINGE * F.relu(MARGIN - (best[:, 0] - best[:, 1])).mean() + DECAY * (weight**2).sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call] # torch has no types for it
        optimizer.step()
    return weight.detach(), bias.detach()


def main() -> None:
    """Fit the head and write it into the weights of the model, in their dtype."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    rows = corpus.entities(options.data, "train", corpus.ENTITY_LANGUAGES)[::EVERY_TAGGED]
    seen, offsets = states(options.model, [row.text for row in rows])
    kept = [n for n, row in enumerate(seen) if len(row) <= MAX_TOKENS]
    tags = torch.tensor([tag for n in kept for tag in segment.tags(rows[n], offsets[n])]).long()
    plain, _ = states(options.model, plain_texts(options.data))
    weights = load_file(options.model / "model.safetensors")
    head = fit(torch.cat([seen[n] for n in kept]), tags, torch.cat(plain), *(weights[name].float() for name in NAMES))
    weights |= {name: tensor.to(weights[name].dtype) for name, tensor in zip(NAMES, head, strict=True)}
    save_file(weights, options.model / "model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    main()
