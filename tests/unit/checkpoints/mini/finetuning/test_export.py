"""The exported folder: shards within their bound, read again, and read by the product."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from checkpoints.mini.finetuning import export, vocabulary
from checkpoints.mini.finetuning.network import Network
from serve.models.checkpoint_facts import checkpoint_facts

LANGUAGES = ["deu_Latn", "eng_Latn"]


@pytest.fixture(scope="module")
def network() -> Network:
    """Make a network of one layer."""
    torch.manual_seed(2)
    return Network(60, 1, len(LANGUAGES)).eval()


def test_a_folder_is_read_again_in_bf16(network: Network, tmp_path: Path) -> None:
    """States and all heads are those of the rounded weights."""
    export.write(tmp_path, network, LANGUAGES)
    again, languages = export.read(tmp_path)
    assert languages == LANGUAGES
    for name, value in export.tensors(network).items():
        assert torch.equal(export.tensors(again)[name], value), name


def test_files_are_small_and_listed(network: Network, tmp_path: Path) -> None:
    """Each tensor is in the file that the index names."""
    export.write(tmp_path, network, LANGUAGES, most=2 * 2**20)
    place = json.loads((tmp_path / export.INDEX).read_text())["weight_map"]
    assert len(set(place.values())) > 1
    assert all((tmp_path / file).stat().st_size <= 2 * 2**20 for file in place.values())


def test_the_largest_vocabulary_fits_a_file() -> None:
    """Its word embedding has a file of its own; nearly nothing is left over."""
    words = {export.WORDS: torch.empty(vocabulary.MOST, 384, dtype=torch.bfloat16, device="meta")}
    assert export.shards(words) == [[export.WORDS]]


def test_a_tensor_larger_than_a_file_is_refused(network: Network) -> None:
    """The message says which and how large."""
    with pytest.raises(
        ValueError, match=r"got roberta\.encoder\.layer\.0\.intermediate\.dense\.weight of 1179648 bytes"
    ):
        export.shards(export.tensors(network), 2**19)


def test_the_product_finds_every_head_but_those_left_out(network: Network, tmp_path: Path) -> None:
    """The topic head is one linear layer; NLI answers zero-shot too; no choice is shipped here."""
    export.write(tmp_path, network, LANGUAGES, ["choice"])
    heads = checkpoint_facts(tmp_path).heads
    assert set(heads) == {"topic", "language", "sentiment", "nli", "entities", "answers", "mlm", "embed"}
    assert heads["topic"].variant == "linear"
    assert "zero-shot-classification" in heads["nli"].also
