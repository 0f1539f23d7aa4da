"""Fits the entity head anew on the finished backbone, so that few tags are near ties.

    python checkpoints/mini/sharpen.py --model checkpoints/mini --data DATA

A tag that is nearly a tie is decided otherwise in half precision. Cross-entropy on tagged sentences, and on plain ones
a hinge that pushes the two best tags of a token a nat apart; the backbone and all other heads stay as they are.
"""

from __future__ import annotations

import argparse
import csv
import lzma
from itertools import islice
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from evaluate import padded, reference
from recipe import corpus, segment
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, XLMRobertaForTokenClassification

N_STEPS, RATE, DECAY = 300, 5e-3, 1e-3
MARGIN, HINGE = 1.0, 1.0  # nats, and its weight beside the cross-entropy
N_TAGGED, N_PLAIN = 8_192, 16_384  # tokens a step
EVERY_TAGGED, EVERY_PLAIN = 4, 37  # of the sentences, one in so many
MAX_TOKENS = 128
NAMES = "heads.entities.weight", "heads.entities.bias"


@torch.no_grad()
def states(folder: Path, texts: list[str]) -> tuple[list[torch.Tensor], list[list[tuple[int, int]]]]:
    """Return the last states [tokens, width] and offsets of each text, special tokens left out."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = reference(folder, XLMRobertaForTokenClassification, "entities", len(corpus.TAGS)).roberta
    found: list[torch.Tensor] = [torch.empty(0)] * len(texts)
    places: list[list[tuple[int, int]]] = [[] for _ in texts]
    for part, coded in padded(tokenizer, texts):
        offsets = coded.pop("offset_mapping").tolist()
        lengths = coded["attention_mask"].sum(1).tolist()
        last = model(**coded).last_hidden_state
        for n, row, own, length in zip(part, last, offsets, lengths, strict=True):
            found[n] = row[1 : length - 1].clone()
            places[n] = [(start, end) for start, end in own[1 : length - 1]]
    return found, places


def plain_texts(data: Path) -> list[str]:
    """Return one in so many of the training sentences of SIB-200."""
    with lzma.open(data / "sib200" / "train.tsv.xz", "rt", encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [row["text"] for row in islice(rows, 0, None, EVERY_PLAIN)]


def fit(
    tagged: torch.Tensor, tags: torch.Tensor, plain: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the head [tags, width], [tags] fitted from the one given."""
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
        loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
        optimizer.step()
    return weight.detach(), bias.detach()


def main() -> None:
    """Write the head into the model's weights, in the dtype they have."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    rows = corpus.entities(options.data, "train", corpus.ENTITY_LANGUAGES)[::EVERY_TAGGED]
    seen, places = states(options.model, [row.text for row in rows])
    kept = [n for n, row in enumerate(seen) if len(row) <= MAX_TOKENS]
    tags = torch.tensor([tag for n in kept for tag in segment.tags(rows[n], places[n])]).long()
    plain, _ = states(options.model, plain_texts(options.data))
    stored = load_file(options.model / "model.safetensors")
    head = fit(torch.cat([seen[n] for n in kept]), tags, torch.cat(plain), *(stored[name].float() for name in NAMES))
    stored |= {name: tensor.to(stored[name].dtype) for name, tensor in zip(NAMES, head, strict=True)}
    save_file(stored, options.model / "model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    main()
