"""A LoRA adapter and its base become one checkpoint, with the weights that LoRA defines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from glossa.checkpoint_conversion.merge import merge
from serve.checkpoints.files import SINGLE, CheckpointError
from serve.models.checkpoint_facts import checkpoint_facts
from tests.checkpoints import draw, write

QUERY = "roberta.encoder.layer.0.attention.self.query"
WORDS = "roberta.embeddings.word_embeddings"
RANK = 4


def _adapter(folder: Path, **facts: Any) -> dict[str, torch.Tensor]:
    """Write an adapter as peft does, and return its tensors without the prefix of peft."""
    generator = torch.Generator().manual_seed(0)
    tensors = {
        f"{QUERY}.lora_A.weight": torch.randn(RANK, 48, generator=generator),
        f"{QUERY}.lora_B.weight": torch.randn(48, RANK, generator=generator),
        f"{WORDS}.lora_embedding_A": torch.randn(RANK, 500, generator=generator),
        f"{WORDS}.lora_embedding_B": torch.randn(48, RANK, generator=generator),
        "classifier.dense.weight": torch.randn(48, 48, generator=generator),
        "classifier.dense.bias": torch.randn(48, generator=generator),
        "classifier.out_proj.weight": torch.randn(3, 48, generator=generator),
        "classifier.out_proj.bias": torch.randn(3, generator=generator),
    }
    folder.mkdir()
    save_file(
        {f"base_model.model.{name}": tensor for name, tensor in tensors.items()}, folder / "adapter_model.safetensors"
    )
    usual = {"peft_type": "LORA", "task_type": "SEQ_CLS", "r": RANK, "lora_alpha": 8, "base_model_name_or_path": "base"}
    (folder / "adapter_config.json").write_text(json.dumps({**usual, **facts}))
    return tensors


@pytest.mark.parametrize("kind", ["XLMRobertaForMaskedLM", "XLMRobertaModel"])
@pytest.mark.parametrize(
    ("facts", "scale"),
    [({}, 2.0), ({"use_rslora": True}, 4.0), ({"alpha_pattern": {"query|word_embeddings": 12}}, 3.0)],
)
def test_an_adapter_is_merged_into_its_base(kind: str, facts: dict[str, Any], scale: float, tmp_path: Path) -> None:
    """W becomes W + scale * B A, that of an embedding its transpose; the head that was trained comes along."""
    stored = write(draw(kind), tmp_path / "base")
    tensors = _adapter(tmp_path / "adapter", **facts)
    before = load_file(stored / SINGLE)
    before = {name if name.startswith(("roberta.", "lm_head.")) else f"roberta.{name}": t for name, t in before.items()}
    out = merge(tmp_path / "adapter", tmp_path / "base")
    after = load_file(out / SINGLE)
    delta = tensors[f"{QUERY}.lora_B.weight"] @ tensors[f"{QUERY}.lora_A.weight"]
    torch.testing.assert_close(after[f"{QUERY}.weight"], before[f"{QUERY}.weight"] + scale * delta)
    delta = (tensors[f"{WORDS}.lora_embedding_B"] @ tensors[f"{WORDS}.lora_embedding_A"]).T
    torch.testing.assert_close(after[f"{WORDS}.weight"], before[f"{WORDS}.weight"] + scale * delta)
    assert checkpoint_facts(out).heads["classifier"].labels == ("LABEL_0", "LABEL_1", "LABEL_2")
    assert list(checkpoint_facts(out).heads) == ["classifier", "embed"]


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"peft_type": "IA3"}, "is an adapter of kind 'IA3', expected LORA"),
        ({"use_dora": True}, "use_dora = True, expected False"),
        ({"init_lora_weights": "pissa_niter_4"}, "'pissa_niter_4', which changes the base's weights too"),
        ({"trainable_token_indices": [5]}, r"trainable_token_indices = \[5\], expected None"),
    ],
)
def test_another_kind_of_adapter_is_named_with_what_merges_it(facts: dict[str, Any], said: str, tmp_path: Path) -> None:
    """The hint is what to do with peft."""
    write(draw("XLMRobertaModel"), tmp_path / "base")
    _adapter(tmp_path / "adapter", **facts)
    with pytest.raises(CheckpointError, match=said) as refused:
        merge(tmp_path / "adapter", tmp_path / "base")
    assert "merge_and_unload" in str(refused.value.hint)


@pytest.mark.parametrize("inner", ["", "0_Transformer"])
def test_the_modules_of_an_embedder_come_along(inner: str, tmp_path: Path) -> None:
    """Pooling, length and window are those of the base, in both of its layouts."""
    base = tmp_path / "base"
    write(draw("XLMRobertaModel"), base / inner)
    modules = [{"path": inner}, {"path": "1_Pooling"}, {"path": "2_Normalize"}]
    (base / "modules.json").write_text(json.dumps(modules))
    (base / inner / "sentence_bert_config.json").write_text('{"max_seq_length": 64}')
    (base / "1_Pooling").mkdir()
    (base / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    _adapter(tmp_path / "adapter")
    merged = checkpoint_facts(merge(tmp_path / "adapter", base))
    head = merged.heads["embed"]
    assert (head.pooling, head.normalize, merged.max_tokens) == ("cls", True, 64)


def test_an_adapter_of_another_base_is_refused(tmp_path: Path) -> None:
    """The module and the shapes are named."""
    write(draw("XLMRobertaModel", vocab_size=600), tmp_path / "base")
    _adapter(tmp_path / "adapter")
    with pytest.raises(
        CheckpointError, match=r"word_embeddings\.weight of shape \(500, 48\), the base has \(600, 48\)"
    ):
        merge(tmp_path / "adapter", tmp_path / "base")


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "alpha": ({"lora_alpha": "x"}, r"has 'x' for 'lora_alpha', expected a number above 0"),
    "huge alpha": ({"lora_alpha": 10**400}, r"expected a number above 0"),
    "patterns": ({"alpha_pattern": 3}, r"has alpha_pattern 3, expected numbers by patterns"),
    "pattern": ({"alpha_pattern": {"(": 1}}, r"has '\(' in alpha_pattern, expected a pattern"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_facts_of_other_types_are_refused(case: str, tmp_path: Path) -> None:
    """A scale is a number, and patterns can be read."""
    facts, said = BROKEN[case]
    _adapter(tmp_path / "adapter", **facts)
    with pytest.raises(CheckpointError, match=said):
        merge(tmp_path / "adapter", write(draw("XLMRobertaModel"), tmp_path / "base"))


def test_factors_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    """Two factors make a product; one alone, none at all, and a broken file are named."""
    base = write(draw("XLMRobertaModel"), tmp_path / "base")
    _adapter(adapter := tmp_path / "adapter")
    first, second = (f"base_model.model.{QUERY}.lora_{kind}.weight" for kind in "AB")
    for tensors, said in (
        ({first: torch.ones(3, 48), second: torch.ones(48, 2)}, r"factors of shape \(48, 2\) and \(3, 48\)"),
        ({first: torch.ones(0, 48), second: torch.ones(48, 0)}, "expected a product"),
        ({second: torch.ones(48, 2)}, "without its other factor, expected both"),
        ({"x": torch.ones(2)}, "adapts nothing, expected tensors such as"),
    ):
        save_file(tensors, adapter / "adapter_model.safetensors")
        with pytest.raises(CheckpointError, match=said):
            merge(adapter, base)
    (adapter / "adapter_model.safetensors").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="expected a safetensors file"):
        merge(adapter, base)
