"""The attention of a catalog entry is used, or refused by name."""

from __future__ import annotations

import pytest
import torch

from serve.checkpoints.read import CheckpointError
from serve.engine.attention_choice import attention_for
from serve.layers.attention import attend_eager, attend_sdpa
from serve.rows.pack import spans_of

CPU = torch.device("cpu")


@pytest.mark.parametrize("causal", [False, True])
def test_eager_is_sdpa(causal: bool) -> None:  # noqa: FBT001 - pytest passes it by name
    """Explicit probabilities give the same contexts as the fused call, for each row and in order."""
    lengths = [1, 3, 3, 8, 20]
    qkv = torch.randn(sum(lengths), 3, 2, 8, generator=torch.Generator().manual_seed(0))
    spans = spans_of(lengths, CPU)
    fused, spelled = (attend(qkv, spans, 0.4, causal) for attend in (attend_sdpa, attend_eager))
    torch.testing.assert_close(spelled, fused, rtol=1e-5, atol=1e-5)


def test_each_name_of_the_reference_is_honoured() -> None:
    """`eager` and `sdpa` are the functions of these names. `auto` on a CPU is the fused call."""
    assert attention_for(CPU, torch.float32, 64, "eager") is attend_eager
    assert attention_for(CPU, torch.float32, 64, "sdpa") is attend_sdpa
    assert attention_for(CPU, torch.float32, 64) is attend_sdpa


def test_flash_is_refused_where_it_cannot_run() -> None:
    """On a CPU, flash attention is an error with the reason, and no other attention replaces it."""
    with pytest.raises(CheckpointError, match="flash_attention_2 cannot run: got device cpu, expected cuda"):
        attention_for(CPU, torch.bfloat16, 64, "flash_attention_2")
