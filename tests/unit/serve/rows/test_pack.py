"""Packs, positions, attention and the blocks of the masked LM."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers.models.xlm_roberta.modeling_xlm_roberta import XLMRobertaEmbeddings

from serve.engine.attention_choice import attention_for
from serve.kernels.cpu.attention import kernel_attention
from serve.layers.attention import MAX_BLOCK_SCORES, Attend, attend_eager, attend_products, attend_sdpa, attend_varlen
from serve.layers.heads import Decoder, MaskedLmHead, Transform
from serve.rows.pack import pack_rows, reference_positions, spans_of
from serve.rows.row import row_of
from shared.errors import GlossaError

CPU = torch.device("cpu")
PAD = 1
LENGTHS = st.lists(st.integers(1, 12), min_size=1, max_size=8)


@given(LENGTHS)
def test_a_pack_keeps_every_row(lengths: list[int]) -> None:
    """A pack holds every row once, shortest first, and its spans give each row back."""
    rows = {3 * i: row_of([i] * n, "x") for i, n in enumerate(lengths)}
    pack = pack_rows(rows, CPU)
    assert sorted(pack.order) == sorted(rows)
    assert list(pack.spans.lengths) == sorted(lengths)
    for index, start, length in zip(pack.order, pack.spans.starts, pack.spans.lengths, strict=True):
        assert pack.ids[start : start + length].tolist() == rows[index].input_ids.tolist()


@given(LENGTHS)
def test_runs_cover_the_stream(lengths: list[int]) -> None:
    """Runs of equal lengths follow one another from the first token to the last."""
    runs = spans_of(lengths, CPU).runs
    assert [run.first for run in runs] == [0, *(run.last for run in runs[:-1])]
    assert [run.length for run in runs for _ in range(run.n_rows)] == lengths


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=12), min_size=1, max_size=8))
def test_positions_are_the_references(rows: list[list[int]]) -> None:
    """Packed position ids equal those of the reference for each row alone, also with pad ids inside a text."""
    spans = spans_of([len(row) for row in rows], CPU)
    ours = reference_positions(torch.tensor([i for row in rows for i in row]), spans, PAD)
    alone = [XLMRobertaEmbeddings.create_position_ids_from_input_ids(torch.tensor([row]), PAD)[0] for row in rows]
    assert ours.tolist() == torch.cat(alone).tolist()


@pytest.mark.parametrize("attend", [attend_sdpa, attend_products, attend_eager])
@pytest.mark.parametrize("causal", [False, True])
@settings(deadline=None, max_examples=25)
@given(lengths=LENGTHS, seed=st.integers(0, 99))
def test_no_row_sees_another(attend: Attend, *, causal: bool, lengths: list[int], seed: int) -> None:
    """Attention over a pack equals softmax(QK)V over each row alone, causal or not."""
    generator = torch.Generator().manual_seed(seed)
    qkv = torch.randn(sum(lengths), 3, 2, 4, generator=generator)
    packed = attend(qkv, spans_of(lengths, CPU), 0.5, causal)
    alone = []
    for row in torch.split(qkv, lengths):
        query, key, value = row.permute(1, 2, 0, 3)
        scores = query @ key.mT * 0.5
        if causal:
            scores = scores.masked_fill(torch.ones(scores.shape[1:], dtype=torch.bool).triu(1), -torch.inf)
        alone.append((scores.softmax(-1) @ value).transpose(0, 1).flatten(1))
    torch.testing.assert_close(packed, torch.cat(alone), rtol=1e-5, atol=1e-5)


def test_products_come_in_chunks() -> None:
    """Attention is the same however few scores are computed at a time."""
    qkv = torch.randn(8 * 9, 3, 2, 4, generator=torch.Generator().manual_seed(0))
    spans = spans_of([9] * 8, CPU)
    whole = attend_products(qkv, spans, 0.5, False)
    for most in (1, 2 * 81 * 3):
        torch.testing.assert_close(attend_products(qkv, spans, 0.5, False, most), whole, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("attend", [attend_products, attend_eager])
@pytest.mark.parametrize("causal", [False, True])
def test_a_long_row_takes_some_queries_at_a_time(attend: Attend, *, causal: bool) -> None:
    """Scores in two blocks give the contexts of the fused call; a short row beside it is not touched."""
    lengths = [5, 2999]
    assert MAX_BLOCK_SCORES < 2 * lengths[1] ** 2 < 2 * MAX_BLOCK_SCORES
    qkv = torch.randn(sum(lengths), 3, 2, 4, generator=torch.Generator().manual_seed(0))
    spans = spans_of(lengths, CPU)
    found, fused = attend(qkv, spans, 0.5, causal), attend_sdpa(qkv, spans, 0.5, causal)
    torch.testing.assert_close(found, fused, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("dtype", "asked", "attend"),
    [
        (torch.bfloat16, "auto", kernel_attention(64) or attend_products),
        (torch.float32, "auto", attend_sdpa),
        (torch.bfloat16, "sdpa", attend_sdpa),
        (torch.bfloat16, "eager", attend_eager),
    ],
)
def test_what_a_cpu_attends_with(dtype: torch.dtype, asked: str, attend: Attend) -> None:
    """A CPU uses the kernel or products in bfloat16, the fused call in float32, and what a catalog entry asks for."""
    assert attention_for(CPU, dtype, 64, asked) is attend


@pytest.mark.skipif(not torch.cuda.is_available(), reason="variable-length attention runs on CUDA alone")
def test_variable_length_attention_equals_runs() -> None:
    """On CUDA both attentions agree within the precision of bfloat16."""
    device = torch.device("cuda")
    spans = spans_of([5, 5, 17, 130], device)
    qkv = torch.randn(157, 3, 4, 64, device=device, dtype=torch.bfloat16)
    torch.testing.assert_close(
        attend_varlen(qkv, spans, 0.125, False), attend_sdpa(qkv, spans, 0.125, False), rtol=2e-2, atol=2e-2
    )


def test_masks_are_read_in_blocks() -> None:
    """Logits of one mask at a time give the same answers as those of all masks at once."""
    generator = torch.Generator().manual_seed(0)
    parts = (Transform(nn.Linear(8, 8), nn.LayerNorm(8)), Decoder(nn.Linear(8, 50), 50))
    rows = {i: row_of([0, 5, 6], "mlm", positions=(0, 2), top_k=3, target_ids=(7, 8)) for i in range(3)}
    pack, states = pack_rows(rows, CPU), torch.randn(9, 8, generator=generator)
    with torch.no_grad():
        whole = MaskedLmHead(*parts)(states, pack, range(3))
        apart = MaskedLmHead(*parts, block_bytes=1)(states, pack, range(3))
    for ours, theirs in zip(apart, whole, strict=True):
        assert not isinstance(ours, GlossaError)
        assert ours.keys() == theirs.keys() == {"top_ids", "top_logits", "log_sum_exp", "target_logits"}
        for name in ours:
            torch.testing.assert_close(ours[name], theirs[name], rtol=1e-5, atol=1e-5)
