"""Trains a head together with the last layers of its backbone, by the classes of transformers: a model of its own.

The other layers and the embeddings stay as they are. Must not know the catalog, or how the model is served.
"""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
import transformers
from torch import Tensor

from functions.messages import Window
from glossa.head_training.fitting.fit import Loss
from glossa.head_training.fitting.frozen import States
from serve.checkpoints.files import BESIDE, CONFIG, DECLARING, read_json
from serve.checkpoints.folders import transformer_folder
from serve.checkpoints.read import read_tensors
from serve.models.checkpoint_facts import check_tensors, read_config
from serve.models.tensor_names import stored_tensors
from shared.catalog import Head, Model

CLASSES = {"xlm-roberta": "XLMRoberta", "xlm-roberta-xl": "XLMRobertaXL", "xlm": "XLM", "bert": "Bert"}
KINDS = {"text-classification": "ForSequenceClassification", "token-classification": "ForTokenClassification"}
NOT_COPIED = (CONFIG, *DECLARING)
LAYER_RATE, HEAD_RATE, DECAY = 3e-5, 1e-3, 0.01
BATCH, MAX_EPOCHS, PATIENCE = 16, 10, 2
WARM_UP = 0.1  # of all steps, in which the rate grows
IGNORED = -100
NOISY = ("torchao", "torch.utils._pytree")  # they warn while transformers imports them


@dataclass(frozen=True, slots=True)
class Item:
    """One window and what the model should say of it: one index, a list of numbers, or an index for each token.

    For similarity `other` is the window of the second text, and `target` the grade.
    """

    window: Window
    target: Any
    weight: float = 1.0
    other: Window | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """What is trained: the loss, and whether vectors of two texts are compared in place of a head.

    `states` are those of windows below the first trained layer, if the network begins there.
    """

    loss: Loss
    compares: bool = False
    per_token: bool = False
    states: States = field(default_factory=dict)


def open_network(folder: Path, model: Model, head: Head | None, n_layers: int, seed: int) -> Any:
    """Return the class of transformers with the weights of a folder and a new head; without one, the backbone alone.

    All but the last `n_layers` layers and the head are frozen.
    """
    for library in NOISY:
        logging.getLogger(library).setLevel(logging.ERROR)
    kind = getattr(transformers, CLASSES[model.family] + ("Model" if head is None else KINDS[head.task]))
    family, config = read_config(folder)
    found = stored_tensors(folder, family, config)
    backbone_names, _ = check_tensors(found.shapes, family, config, ())
    read = read_tensors(folder, found.stored(backbone_names), torch.float32)
    named: dict[str, Any] = {}
    if head is not None:
        problem = head.problem_type if head.task == "text-classification" else None
        label2id = {label: at for at, label in enumerate(head.labels)}
        named = {"id2label": dict(enumerate(head.labels)), "label2id": label2id, "problem_type": problem}
    whole = kind.config_class.from_dict({**config.to_dict(), **named, "dtype": "float32"})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = kind(whole) if head is not None else kind(whole, add_pooling_layer=False)
    base = "" if head is None else f"{network.base_model_prefix}."
    network.load_state_dict(
        {base + own: read[found.stored_names[name]] for name, own in backbone_names.items()}, strict=False
    )
    backbone = getattr(network, network.base_model_prefix, network)
    layers = _layers(backbone)
    backbone.requires_grad_(requires_grad=False)
    pooler = getattr(backbone, "pooler", None)  # of BERT: a part of its classifier
    for layer in [*layers[len(layers) - n_layers :], *([] if pooler is None else [pooler])]:
        layer.requires_grad_(requires_grad=True)
    return network


def check_layers(folder: Path, model: Model, n_layers: int) -> None:
    """Raise ValueError when the model in a folder has fewer layers."""
    most = read_json(transformer_folder(folder) / CONFIG).get("num_hidden_layers")
    if isinstance(most, int) and n_layers > most:
        raise ValueError(f"got --unfreeze {n_layers}, expected at most {most}, the layers of {model.name}")


def train_network(
    network: Any, train: Sequence[Item], inner: Sequence[Item], task: Task, seed: int,
    on_step: Callable[[str], object] = lambda _: None,
) -> str:  # fmt: skip
    """Train in place until the loss on `inner` stops falling, and keep the best weights; return how long that took.

    Without `inner` it trains for a third of the longest time.
    """
    torch.manual_seed(seed)
    most = MAX_EPOCHS if inner else math.ceil(MAX_EPOCHS / 3)
    steps = most * math.ceil(len(train) / BATCH)
    own = [each for name, each in network.named_parameters() if each.requires_grad and _is_head(network, name)]
    ids = set(map(id, own))
    layers = [each for each in network.parameters() if each.requires_grad and id(each) not in ids]
    groups = [{"params": layers, "lr": LAYER_RATE}, {"params": own, "lr": HEAD_RATE}]
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]], weight_decay=DECAY)
    rate = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / max(1.0, WARM_UP * steps), 1 - step / steps)
    )
    best, best_epoch, kept = math.inf, most, None
    for epoch in range(1, most + 1):
        network.train()
        for batch in _shuffled(train, seed + epoch):
            optimizer.zero_grad()
            loss = _loss(network, batch, task)
            loss.backward()  # type: ignore[no-untyped-call] # torch has no types for it
            optimizer.step()
            rate.step()
        if not inner:
            on_step(f"epoch {epoch} of {most}")
            continue
        found = mean_loss(network, inner, task)
        on_step(f"epoch {epoch} of at most {most}: loss {found:.3f}")
        if found < best:
            best, best_epoch = found, epoch
            kept = {name: each.detach().clone() for name, each in network.named_parameters() if each.requires_grad}
        elif epoch - best_epoch >= PATIENCE:
            break
    if kept is not None:
        network.load_state_dict(kept, strict=False)
    network.eval()
    return f"{best_epoch} epochs"


@torch.no_grad()
def mean_loss(network: Any, items: Sequence[Item], task: Task) -> float:
    """Return the mean loss of a network on items."""
    network.eval()
    found = [float(_loss(network, batch, task)) * len(batch) for batch in _batches(items)]
    return sum(found) / len(items)


@torch.no_grad()
def answers(network: Any, items: Sequence[Item], task: Task) -> list[list[list[float]]]:
    """Return the logits of each item: one row, or one for each token. Of pairs that are compared, their similarity."""
    network.eval()
    found: list[list[list[float]]] = []
    for batch in _batches(items):
        logits = _output(network, batch, task)
        if task.compares:
            found += [[[each]] for each in logits.tolist()]
        elif task.per_token:
            found += [own[: len(item.window.input_ids)].tolist() for own, item in zip(logits, batch, strict=True)]
        else:
            found += [[own] for own in logits.tolist()]
    return found


@torch.no_grad()
def fold(network: Any, degree: float) -> None:
    """Divide the logits of a network by a temperature: it becomes a part of the last layer."""
    layer = getattr(network.classifier, "out_proj", network.classifier)
    layer.weight.div_(degree)
    layer.bias.div_(degree)


def save_network(network: Any, source: Path, out: Path) -> None:
    """Write a network, its configuration and the tokenizer of `source` to the folder `out`."""
    network.save_pretrained(out)
    for name in BESIDE:
        path = transformer_folder(source) / name
        if name not in NOT_COPIED and path.is_file():
            shutil.copyfile(path, out / name)


def _layers(backbone: Any) -> Sequence[Any]:
    """Return the layers of a backbone. XLM keeps theirs in several lists; `glossa head train` refuses it before."""
    return list(backbone.encoder.layer)


def _is_head(network: Any, name: str) -> bool:
    return not name.startswith(f"{network.base_model_prefix}.") and hasattr(network, network.base_model_prefix)


def _shuffled(items: Sequence[Item], seed: int) -> Iterator[list[Item]]:
    order = torch.randperm(len(items), generator=torch.Generator().manual_seed(seed)).tolist()
    yield from ([items[at] for at in order[start : start + BATCH]] for start in range(0, len(order), BATCH))


def _batches(items: Sequence[Item]) -> Iterator[list[Item]]:
    yield from (list(items[start : start + BATCH]) for start in range(0, len(items), BATCH))


def _output(network: Any, batch: Sequence[Item], task: Task) -> Tensor:
    """Return the logits of a batch, or the cosines of its pairs."""
    first = _run(network, [item.window for item in batch], task.states)
    if not task.compares:
        logits: Tensor = first.logits
        return logits
    second = _run(network, [item.other for item in batch if item.other is not None], task.states)
    mask, other_mask = (_padded([w.input_ids for w in own], 0, ones=True) for own in _sides(batch))
    return F.cosine_similarity(_mean(first, mask), _mean(second, other_mask))


def _sides(batch: Sequence[Item]) -> tuple[list[Window], list[Window]]:
    return [item.window for item in batch], [item.other for item in batch if item.other is not None]


def _run(network: Any, windows: Sequence[Window], states: States) -> Any:
    device = next(network.parameters()).device
    if states:
        given = torch.nn.utils.rnn.pad_sequence([states[id(window)] for window in windows], batch_first=True)
        mask = _padded([window.input_ids for window in windows], 0, ones=True)
        return network(inputs_embeds=given.to(device), attention_mask=mask.to(device))
    ids = _padded([window.input_ids for window in windows], network.config.pad_token_id)
    mask = _padded([window.input_ids for window in windows], 0, ones=True)
    return network(input_ids=ids.to(device), attention_mask=mask.to(device))


def _mean(found: Any, mask: Tensor) -> Tensor:
    is_token = mask[:, :, None].to(found.last_hidden_state)
    return torch.as_tensor((found.last_hidden_state * is_token).sum(1) / is_token.sum(1))


def _padded(rows: Sequence[Sequence[int]], filler: int, *, ones: bool = False) -> Tensor:
    """Return int64 [rows, longest]; with `ones`, which places hold a token."""
    longest = max(map(len, rows))
    return torch.tensor([[*([1] * len(row) if ones else row), *[filler] * (longest - len(row))] for row in rows])


def _loss(network: Any, batch: Sequence[Item], task: Task) -> Tensor:
    found = _output(network, batch, task)
    device = found.device
    weights = torch.tensor([item.weight for item in batch], device=device)
    if task.compares:
        each = (found - torch.tensor([float(item.target) for item in batch], device=device)).square()
    elif task.per_token:
        targets = _padded([item.target for item in batch], IGNORED).to(device)
        return F.cross_entropy(found.flatten(0, 1), targets.flatten(), ignore_index=IGNORED)
    elif task.loss == "one":
        each = F.cross_entropy(found, torch.tensor([item.target for item in batch], device=device), reduction="none")
    else:
        wanted = torch.tensor([item.target for item in batch], device=device)
        each = F.binary_cross_entropy_with_logits(found, wanted, reduction="none").mean(1)
    return (each * weights).sum() / weights.sum()
