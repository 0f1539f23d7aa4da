"""A BERT becomes an XLM-RoBERTa with the same states; rows of new pieces come from aligned English ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from checkpoints.mini.finetuning import pruning
from checkpoints.mini.finetuning.network import Network
from checkpoints.mini.finetuning.vocabulary import Vocabulary

N_PIECES = 40


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BertModel]:
    """Write a BERT of e5's width with two layers and 40 pieces."""
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=N_PIECES, hidden_size=384, num_hidden_layers=2, num_attention_heads=12, intermediate_size=1536
    )
    model = BertModel(config).eval()
    folder = tmp_path_factory.mktemp("bert")
    model.save_pretrained(str(folder))
    return folder, model


@torch.inference_mode()
def test_states_are_those_of_the_bert(bert: tuple[Path, BertModel]) -> None:
    """All pieces and layers, in fp32: only the order of additions differs."""
    folder, model = bert
    network = Network(N_PIECES, 2, 3).eval()
    pruning.fill(network, pruning.tensors(folder, None, [0, 1]))
    ids = torch.tensor([[0, 7, 9, 2]])
    assert torch.allclose(network.encode(ids, torch.float32), model(ids).last_hidden_state, atol=1e-5)


def test_chosen_rows_and_layers_stay(bert: tuple[Path, BertModel]) -> None:
    """Special tokens, kept pieces, a mean row for a new piece, the mask; and the second layer alone."""
    folder, model = bert
    made = pruning.tensors(folder, Vocabulary((6, 9), (("x", -1.0),)), [1], mask=N_PIECES - 1)
    words = model.embeddings.word_embeddings.weight
    expected = torch.cat([words[[0, 1, 2, 3, 6, 9]], words[[6, 9]].mean(0, keepdim=True), words[-1:]])
    assert torch.equal(made["embeddings.word_embeddings.weight"], expected)
    assert torch.equal(made["encoder.layer.0.output.dense.weight"], model.encoder.layer[1].output.dense.weight)


def test_a_missing_tensor_is_named(bert: tuple[Path, BertModel]) -> None:
    """A network of another depth does not take the weights."""
    with pytest.raises(ValueError, match=r"encoder\.layer\.1"):
        pruning.fill(Network(N_PIECES, 2, 3), pruning.tensors(bert[0], None, [0]))


def test_new_pieces_begin_as_their_translations() -> None:
    """Two pairs tell which English piece goes with which."""
    first, second = (np.array([30, 31]), np.array([5, 6])), (np.array([31]), np.array([6]))
    words = torch.arange(40.0)[:, None].repeat(1, 2)
    pruning.mix(words, pruning.align([first, second, second]), 30, 32)
    assert abs(float(words[31, 0]) - 6) < 0.1
    assert abs(float(words[30, 0]) - 5) < 0.5
