"""Makes checkpoints of real size with random weights, and runs the reference on them within the memory of one layer.

Weights are drawn so that a fault shows at any size: products have a std near 1, and biases and LayerNorms are random
too. The reference reads the tensors of a module when the module is called, and frees them when it is done.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from benchmarks.inputs.checkpoints import config_of
from serve.checkpoints.read import INDEX, weight_files

SHARD_BYTES = 2**30
TIED = {
    "lm_head.decoder.weight": "roberta.embeddings.word_embeddings.weight",
    "lm_head.decoder.bias": "lm_head.bias",
}


def empty(size: str) -> Any:
    """Return the masked language model of the reference without weights. Its index buffers are real."""
    config = config_of(size)
    with torch.device("meta"):
        model = getattr(transformers, type(config).__name__.removesuffix("Config") + "ForMaskedLM")(config)
    for module in model.modules():
        for name, buffer in module.named_buffers(recurse=False):
            indices = torch.arange(buffer.shape[-1]).expand(buffer.shape)
            module.register_buffer(name, indices if name == "position_ids" else torch.zeros_like(indices))
    return model.eval()


def draw(size: str, folder: Path) -> int:
    """Write a checkpoint of a size in bfloat16, shard by shard. Return its bytes."""
    model = empty(size)
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    named = model.named_parameters(remove_duplicate=False)  # else only the other name of a tied weight may stay
    shapes = {name: tuple(p.shape) for name, p in named if name not in TIED}
    shards = list(_shards(shapes))
    generator = torch.Generator().manual_seed(0)
    file_of: dict[str, str] = {}
    for number, names in enumerate(shards, 1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        tensors = {name: _draw(name, shapes[name], model.config.hidden_size, generator) for name in names}
        save_file(tensors, folder / file, {"format": "pt"})
        file_of |= dict.fromkeys(names, file)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": file_of}), encoding="utf-8")
    return sum(path.stat().st_size for path in weight_files(folder))


def read(size: str, folder: Path, texts: Sequence[Sequence[int]], positions: Sequence[Sequence[int]]) -> list[Tensor]:
    """Return the reference's logits [masks, vocabulary] at the places of each text, one text at a time, in float32."""
    model = empty(size)
    files = {name: path for path in weight_files(folder) for name in _names(path)}
    for name, module in model.named_modules():
        if own := [key for key, _ in module.named_parameters(recurse=False)]:
            _stream(module, {key: f"{name}.{key}" for key in own}, files)
    logits = []
    with torch.inference_mode():
        for ids, wanted in zip(texts, positions, strict=True):
            given = torch.tensor([ids])
            states = model.roberta(input_ids=given, attention_mask=torch.ones_like(given)).last_hidden_state
            logits.append(model.lm_head(states[0, list(wanted)]))
    return logits


def _stream(module: nn.Module, names: Mapping[str, str], files: Mapping[str, Path]) -> None:
    empty_parameters = {key: module.get_parameter(key) for key in names}

    def fill(*_: object) -> None:
        for key, name in names.items():
            source = TIED.get(name, name)
            with safe_open(files[source], framework="pt") as opened:
                module.register_parameter(key, nn.Parameter(opened.get_tensor(source).float(), requires_grad=False))

    def forget(*_: object) -> None:
        for key, parameter in empty_parameters.items():
            module.register_parameter(key, parameter)

    module.register_forward_pre_hook(fill)
    module.register_forward_hook(forget)


def _shards(shapes: Mapping[str, Sequence[int]]) -> Iterator[list[str]]:
    held: list[str] = []
    held_bytes = 0
    for name, shape in shapes.items():
        size_bytes = 2 * torch.Size(shape).numel()
        if held and held_bytes + size_bytes > SHARD_BYTES:
            yield held
            held, held_bytes = [], 0
        held.append(name)
        held_bytes += size_bytes
    yield held


def _draw(name: str, shape: Sequence[int], width: int, generator: torch.Generator) -> Tensor:
    """Draw LayerNorm weights around 1 and all else around 0. Products of normalized states then have std 1."""
    norm = name.endswith(("LayerNorm.weight", "layer_norm.weight"))
    fan_in = shape[1] if len(shape) > 1 and "embeddings" not in name else width
    mean, std = (1.0, 0.1) if norm else (0.0, fan_in**-0.5)
    return torch.empty(shape, dtype=torch.bfloat16).normal_(mean, std, generator=generator)


def _names(path: Path) -> list[str]:
    with safe_open(path, framework="pt") as opened:
        return list(opened.keys())
