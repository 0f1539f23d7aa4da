"""Computes the vectors that the frozen e5 gives to English originals: the targets of all their translations.

The prompt `query: ` is e5's own for texts of one kind. The trained network needs no prompt, because it learns these
vectors for plain texts. Must not know tasks or training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from safetensors.torch import load_file, save_file
from torch import Tensor

from checkpoints.mini.finetuning import pruning
from checkpoints.mini.finetuning.batches import Batches, padded
from checkpoints.mini.finetuning.examples import Encoder, Examples
from checkpoints.mini.finetuning.network import Network, mean

PROMPT = "query: "
N_PIECES, N_LAYERS = 250_037, 12
BUDGET = 4_096


def banks(start: Path, texts: Mapping[str, Sequence[str]], file: Path) -> dict[str, Tensor]:
    """Return unit vectors `[texts, width]` of each list. They are kept in `file`, which a later run reads."""
    if file.exists():
        return load_file(file)
    network = Network(N_PIECES, N_LAYERS, 1).eval()
    pruning.fill(network, pruning.tensors(start, None, range(N_LAYERS)))
    encode = Encoder(start)
    found = {}
    for name, listed in texts.items():
        ids = encode([PROMPT + text for text in listed])
        found[name] = F.normalize(vectors(network, Examples(ids), torch.float32), dim=1)
    save_file(found, str(file))
    return found


@torch.inference_mode()
def vectors(network: Network, examples: Examples, dtype: torch.dtype) -> Tensor:
    """Return the mean vectors `[texts, width]` of all texts, in their order."""
    found = torch.zeros(len(examples.ids), network.config.hidden_size)
    for part in Batches(examples, BUDGET, 0).once():
        batch = padded(examples, part)
        found[part] = mean(network.encode(batch.ids, dtype), batch.ids)
    return found
