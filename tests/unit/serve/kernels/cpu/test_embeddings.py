"""The embeddings of the kernel equal those of the family's own operators, rounded once, for each token alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from serve.kernels.cpu.embeddings import embed_call, embed_for, kernel_embed
from serve.kernels.cpu.library import Variant, variant_here
from serve.layers.embeddings import Embed, EmbeddingTables, no_embed
from serve.layers.parts import ModelParts
from serve.models.xlm_roberta import POSITIONS, TYPES, WORDS, Embeddings
from serve.rows.pack import NO_PAD, Pack, pack_rows
from serve.rows.row import Row
from tests.unit.serve.kernels.cpu.each_variant import each_variant, library_of

CPU = torch.device("cpu")
WIDTH, PAD, N_WORDS, N_POSITIONS, N_TYPES = 48, 1, 50, 64, 3
ROUNDING = 2**-8  # relative rounding of bfloat16, to nearest

some_rows = st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=30), min_size=1, max_size=6)


def tables(pad_id: int = PAD) -> tuple[Embeddings, EmbeddingTables]:
    """Draw the embeddings of the family, and the tables that they and their LayerNorm consist of."""
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    stored = {
        WORDS: drawn(N_WORDS, WIDTH).bfloat16(),
        POSITIONS: drawn(N_POSITIONS, WIDTH).bfloat16(),
        TYPES: drawn(N_TYPES, WIDTH).bfloat16(),
    }
    own = Embeddings(stored, ModelParts(), pad_id=pad_id)
    positions, types = own.get_buffer("position_table"), own.get_buffer("type_table")
    return own, EmbeddingTables(own.words, positions, types, 1 + drawn(WIDTH), drawn(WIDTH), 1e-5, pad_id)


def kernel(variant: Variant, given: EmbeddingTables) -> Embed:
    """Return the kernel with tables that it must be able to read."""
    found = kernel_embed(embed_call(library_of(variant)), given)
    assert found is not None
    return found


def pack_of(rows: Sequence[Sequence[int]]) -> Pack:
    """Pack rows of ids. Every second row has types, and every third one has positions of its own."""
    packed = [Row(torch.tensor(ids, dtype=torch.int32), "topic") for ids in rows]
    for i in range(0, len(rows), 2):
        packed[i] = replace(packed[i], token_type_ids=torch.tensor([j % N_TYPES for j in rows[i]], dtype=torch.int32))
    for i in range(0, len(rows), 3):
        packed[i] = replace(packed[i], position_ids=torch.arange(len(rows[i]), dtype=torch.int32) + 7)
    return pack_rows(dict(enumerate(packed)), CPU)


@each_variant
@settings(deadline=None, max_examples=60)
@given(some_rows, st.integers(1, 3), st.sampled_from((PAD, NO_PAD)))
def test_embeddings_are_the_familys(variant: Variant, rows: list[list[int]], n_threads: int, pad_id: int) -> None:
    """Words, types, and positions are summed and normalized as in torch.

    Positions are given, counted around pad ids, or counted from 0 for every token.
    """
    own, given_tables = tables(pad_id)
    norm = nn.functional.layer_norm
    pack, before = pack_of(rows), torch.get_num_threads()
    exact = norm(own(pack).double(), (WIDTH,), given_tables.scale.double(), given_tables.shift.double(), 1e-5)
    torch.set_num_threads(n_threads)
    try:
        found = kernel(variant, given_tables)(pack)
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(found.double(), exact, rtol=ROUNDING, atol=2e-5)


@each_variant
@settings(deadline=None, max_examples=40)
@given(some_rows)
def test_a_row_has_the_same_bits_with_any_batch_mates(variant: Variant, rows: list[list[int]]) -> None:
    """A row alone, and beside rows with types and positions of their own, gets the same states."""
    embed = kernel(variant, tables()[1])
    plain = [Row(torch.tensor(ids, dtype=torch.int32), "topic") for ids in rows]
    batch_mate = replace(plain[0], token_type_ids=torch.ones(len(rows[0])), position_ids=torch.ones(len(rows[0])))
    pack = pack_rows(dict(enumerate([*plain, batch_mate])), CPU)
    together = torch.split(embed(pack), list(pack.spans.lengths))
    for index, row in enumerate(plain):
        assert torch.equal(together[pack.order.index(index)], embed(pack_rows({0: row}, CPU)))


@each_variant
@pytest.mark.parametrize(
    ("row", "said"),
    [
        (Row(torch.tensor([N_WORDS]), "topic"), "got token id 50, expected 0 <= id < 50"),
        (Row(torch.tensor([-1]), "topic"), "got token id -1"),
        (Row(torch.tensor([5] * N_POSITIONS), "topic"), "got a row of 64 tokens, expected at most 62"),
        (Row(torch.tensor([5]), "topic", position_ids=torch.tensor([N_POSITIONS])), "got position id 64"),
        (Row(torch.tensor([5]), "topic", token_type_ids=torch.tensor([N_TYPES])), "got token type id 3"),
    ],
)
def test_ids_that_no_table_has_are_refused(variant: Variant, row: Row, said: str) -> None:
    """An id or a row outside a table is an error before memory is read."""
    with pytest.raises(ValueError, match=said):
        kernel(variant, tables()[1])(pack_rows({0: row}, CPU))


@each_variant
def test_a_row_may_have_a_token_for_each_position_when_they_count_from_0(variant: Variant) -> None:
    """The longest row of a BERT ends at the last row of the table, and one more token is refused."""
    own, given_tables = tables(NO_PAD)
    longest = pack_rows({0: Row(torch.tensor([PAD] * N_POSITIONS, dtype=torch.int32), "topic")}, CPU)
    exact = nn.functional.layer_norm(own(longest), (WIDTH,), given_tables.scale, given_tables.shift, 1e-5)
    torch.testing.assert_close(kernel(variant, given_tables)(longest).float(), exact, rtol=ROUNDING, atol=2e-5)
    with pytest.raises(ValueError, match="got a row of 65 tokens, expected at most 64"):
        kernel(variant, given_tables)(pack_rows({0: Row(torch.tensor([5] * (N_POSITIONS + 1)), "topic")}, CPU))


@each_variant
def test_tables_of_any_strides_are_read(variant: Variant) -> None:
    """A table in column order gives what its copy gives."""
    own, pack = tables()[1], pack_of([[3, 4, 1, 5]])
    turned = replace(own, positions=own.positions.T.contiguous().T, scale=torch.stack([own.scale, own.scale], 1)[:, 0])
    assert torch.equal(kernel(variant, turned)(pack), kernel(variant, own)(pack))


@each_variant
def test_tables_that_it_cannot_read_are_left(variant: Variant) -> None:
    """Words in float32, in another kind of table, or of a width that does not fit use torch."""
    call, own = embed_call(library_of(variant)), tables()[1]
    assert kernel_embed(call, replace(own, words=nn.Embedding(N_WORDS, WIDTH))) is None
    assert kernel_embed(call, replace(own, words=nn.Linear(WIDTH, N_WORDS).bfloat16())) is None
    assert kernel_embed(call, replace(own, words=nn.Embedding(N_WORDS, 24).bfloat16())) is None


def test_other_dtypes_and_devices_are_not_the_kernels() -> None:
    """float32 and other devices use the operators of the family."""
    assert embed_for(CPU, torch.float32) is no_embed
    assert embed_for(CPU, torch.bfloat16)(tables()[1]) is None or variant_here() is not None
    assert embed_for(torch.device("cuda"), torch.bfloat16) is no_embed
    assert no_embed(tables()[1]) is None
