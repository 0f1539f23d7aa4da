"""Makes the engine of a catalog model.

It fetches and verifies the checkpoint, reads its tensors, and builds encoder and heads. It must not know rows, calls or
who runs the forward pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from serve.checkpoints.fetch import fetch
from serve.checkpoints.read import CheckpointError, read_tensors
from serve.checkpoints.verify import check_config, check_weights
from serve.engine.attention_choice import attention_for
from serve.engine.engine import PackedEngine
from serve.engine.own_heads import HeadMaker, ReadHead, read_from
from serve.engine.quantize import PARALLEL_SAFE, quantized
from serve.kernels.cpu.decoder import decoder_for
from serve.kernels.cpu.embeddings import embed_for
from serve.kernels.cpu.layer_norm import norm_for
from serve.kernels.cpu.library import choice_for
from serve.kernels.cpu.products import linear_for
from serve.layers.linear import linear_of
from serve.layers.parts import ModelParts
from serve.models.checkpoint_facts import check_tensors, read_config
from serve.models.family import Family
from serve.models.registry import FAMILIES
from serve.models.tensor_names import stored_tensors
from serve.rows.kv_cache import CacheShape
from shared.catalog import Model


def load_engine(
    model: Model, root: Path, *, device: torch.device | str | None = None, download_folder: Path | None = None
) -> PackedEngine:
    """Fetch, verify and load a catalog model. `root` is the folder of the catalog.

    `device` defaults to CUDA if there is one, else to the CPU. Downloads from S3 and the hub go to `download_folder`.
    Raises CheckpointError when the checkpoint is not the one in the catalog, or when its answers could not be exact.
    """
    folder = fetch(model.checkpoint, root, download_folder=download_folder)
    check_weights(folder, model.weights_sha256)
    check_config(folder, model.config_sha256, model.name)
    family, config = read_config(folder, is_known=model.config_sha256 is not None)
    _check_agreement(model, family, config)
    found = stored_tensors(folder, family, config)
    in_folder = [head for head in model.heads.values() if not head.checkpoint]
    backbone, of_heads = check_tensors(found.shapes, family, config, in_folder)
    wanted = backbone.keys() | of_heads
    read = read_tensors(folder, found.stored(wanted), getattr(torch, model.dtype))
    named = {backbone.get(name, name): read[found.stored_names[name]] for name in wanted}
    read_head = read_from(model, root, download_folder)
    return build_engine(model, config, named, device=torch.device(device or _best_device()), read_head=read_head)


def build_engine(
    model: Model,
    config: Any,
    tensors: Mapping[str, torch.Tensor],
    *,
    device: torch.device,
    parts: ModelParts | None = None,
    read_head: ReadHead | None = None,
) -> PackedEngine:
    """Make an engine from reference tensors.

    Tensors of the backbone are named without prefix, those of heads as in the checkpoint. `read_head` reads those of a
    head that has a checkpoint of its own; by default it lies in a folder relative to this one. `parts` defaults to the
    exact layers with the attention that `model` asks for. In both cases the layers are then quantized as `model` says.
    Raises CheckpointError when this machine cannot run them.
    """
    dtype = getattr(torch, model.dtype)
    placed = {name: tensor.to(device, dtype) for name, tensor in tensors.items()}
    head_width = config.hidden_size // config.num_attention_heads
    family = FAMILIES[model.family]
    attend = attention_for(device, dtype, head_width, model.attn_implementation)
    linear = linear_for(device, dtype) if model.quantization == "none" else linear_of
    exact = ModelParts(
        attend=attend, linear=linear, norm=norm_for(device, dtype), embed=embed_for(device, dtype),
        decoder=decoder_for(device, dtype),
    )  # fmt: skip
    parts = quantized(parts or exact, model, device)
    encoder = family.build_encoder(config, placed, parts)
    make = HeadMaker(family, config, encoder.words, parts, device, dtype, read_head or read_from(model, Path()))
    heads = {
        name: family.build_head(head, placed, encoder.words, config, parts)
        for name, head in model.heads.items()
        if not head.checkpoint
    }
    backbone_limits = family.backbone_limits(config)
    cache_shape = CacheShape(
        backbone_limits.n_layers,
        backbone_limits.n_heads,
        family.width(config) // backbone_limits.n_heads,
        dtype,
        device,
    )
    can_run_in_parallel = device.type == "cpu" and model.quantization in PARALLEL_SAFE
    n_parallel = torch.get_num_threads() if can_run_in_parallel else 1
    rules = family.rules(config)
    return PackedEngine(
        model,
        encoder,
        heads | make.make(model.heads),
        make=make,
        backbone_limits=backbone_limits,
        rules=rules,
        cache_shape=cache_shape,
        n_parallel=n_parallel,
        kernels=choice_for(device, dtype),
    )


def _check_agreement(model: Model, family: Family, config: Any) -> None:
    """Raise CheckpointError when catalog and checkpoint differ in family, vocabulary, padding, direction or length."""
    if model.family != family.FAMILY:
        raise CheckpointError(f"the checkpoint of {model.name} is of family {family.FAMILY}, not {model.family}")
    said = {"vocab_size": model.vocab_size, "pad_id": model.pad_id, "causal": model.causal}
    found = {
        "vocab_size": family.vocab_size(config),
        "pad_id": family.pad_id(config),
        "causal": family.is_causal(config),
    }
    if said != found:
        raise CheckpointError(f"the checkpoint of {model.name} has {found}, the catalog says {said}")
    if model.max_tokens > family.max_tokens(config):
        raise CheckpointError(
            f"the catalog gives {model.name} {model.max_tokens} tokens a row, "
            f"the checkpoint takes at most {family.max_tokens(config)}"
        )


def _best_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"
