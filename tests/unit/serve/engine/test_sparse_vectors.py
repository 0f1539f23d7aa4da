"""The sparse head of a checkpoint equals the two lines of torch that BGE-M3's code has for it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from serve.engine.load_engine import load_engine
from serve.models.checkpoint_facts import checkpoint_facts
from serve.rows.row import row_of
from shared.catalog import Head
from shared.errors import GlossaError
from tests.checkpoints import catalog_model, draw, draw_ids, write

IDS = draw_ids((7, 40, 1, 12), seed=3)


@pytest.mark.parametrize("kind", ["XLMRobertaModel", "XLMRobertaXLModel"])
def test_weights_equal_a_linear_layer_and_relu(kind: str, tmp_path: Path) -> None:
    """Each token of a packed pass has relu(sparse_linear(state)) of the reference, beside rows of other heads."""
    reference = draw(kind)
    torch.manual_seed(5)
    linear = torch.nn.Linear(reference.config.hidden_size, 1)
    write(reference, tmp_path)
    save_file(dict(linear.state_dict()), tmp_path / "sparse_linear.safetensors")
    heads = checkpoint_facts(tmp_path).heads
    assert heads["sparse"] == Head(task="feature-extraction", variant="sparse", prefix="sparse_linear")
    assert list(heads) == ["embed", "sparse"]
    engine = load_engine(catalog_model(tmp_path), tmp_path, device="cpu")
    rows = [row_of(ids, "sparse") for ids in IDS]
    vectors, *found = engine.forward([row_of(IDS[0], "embed"), *rows])
    assert not isinstance(vectors, GlossaError)
    for ids, output in zip(IDS, found, strict=True):
        with torch.no_grad():
            expected = torch.relu(linear(reference(torch.tensor([ids])).last_hidden_state[0]))[:, 0]
        assert not isinstance(output, GlossaError)
        torch.testing.assert_close(output["token_weights"], expected, rtol=1e-4, atol=1e-4)
    [error] = engine.forward([row_of([0, 5, 2], "sparse", pooling="cls")])
    assert isinstance(error, GlossaError)
    assert "got pooling, head sparse answers with one weight for each token" in error.message


def test_a_checkpoint_without_the_file_has_no_sparse_head(tmp_path: Path) -> None:
    """A plain checkpoint has `embed` alone."""
    assert list(checkpoint_facts(write(draw("XLMRobertaModel"), tmp_path)).heads) == ["embed"]
