"""A classifier of one linear layer equals torch on the pooled states of the reference."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from serve.engine.load_engine import load_engine
from serve.models import checkpoint_heads
from serve.models.checkpoint_facts import checkpoint_facts
from serve.rows.row import row_of
from shared.errors import GlossaError
from tests.checkpoints import catalog_model, draw, draw_ids, write

IDS = draw_ids((7, 40, 2, 12), seed=3)
LABELS = ["book", "cancel", "other"]


@pytest.mark.parametrize("kind", ["XLMRobertaModel", "XLMRobertaXLModel", "XLMModel"])
@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
@pytest.mark.parametrize("name", ["heads.intent", "heads.intent.out_proj"])
def test_a_linear_head_reads_the_pooled_vector(kind: str, pooling: str, name: str, tmp_path: Path) -> None:
    """The head is found by its tensors, and answers rows of a packed pass beside vectors."""
    reference = draw(kind)
    torch.manual_seed(5)
    linear = torch.nn.Linear(48, len(LABELS))
    path = write(reference, tmp_path) / "model.safetensors"
    save_file(load_file(path) | {f"{name}.weight": linear.weight.data, f"{name}.bias": linear.bias.data}, path)
    said = {"task": "text-classification", "labels": LABELS, **({"pooling": pooling} if pooling != "mean" else {})}
    (tmp_path / "heads.json").write_text(json.dumps({"intent": said}))
    head = checkpoint_facts(tmp_path).heads["intent"]
    assert (head.variant, head.prefix, head.pooling, head.labels) == ("linear", name, pooling, tuple(LABELS))
    engine = load_engine(catalog_model(tmp_path), tmp_path, device="cpu")
    _, *found = engine.forward([row_of(IDS[0], "embed"), *(row_of(ids, "intent") for ids in IDS)])
    for ids, output in zip(IDS, found, strict=True):
        assert not isinstance(output, GlossaError)
        with torch.no_grad():
            states = reference(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)))[0][0]
            vector = {"mean": states.mean(0), "cls": states[0], "max": states.amax(0)}[pooling]
            expected = linear(vector)[None]
        torch.testing.assert_close(output["logits"], expected, rtol=1e-4, atol=1e-4)


def test_the_summary_of_xlm_is_no_linear_head() -> None:
    """XLM's own classifier also has one weight, named `summary`. It reads the first token."""
    facts = {"task": "text-classification", "prefix": "heads.nli", "labels": LABELS}
    head = checkpoint_heads.described_head(facts, {"heads.nli.summary.weight": (3, 48)})
    assert (head.variant, head.prefix) == ("", "heads.nli")
