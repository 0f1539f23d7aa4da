"""The facts of a checkpoint folder, and the folders for which our answers would be wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from serve.checkpoints.read import SINGLE, CheckpointError
from serve.checkpoints.verify import weights_sha256
from serve.models.checkpoint_facts import checkpoint_facts
from shared.catalog import Head
from tests.checkpoints import LABELS, draw, write


def _edit_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _edit_tensors(folder: Path, drop: str = "", **add: torch.Tensor) -> None:
    tensors = load_file(folder / SINGLE)
    save_file({name: t for name, t in tensors.items() if name != drop} | add, folder / SINGLE)


CLASSIFIER = {"prefix": "classifier", "labels": LABELS}
FOUND: dict[str, dict[str, Head]] = {
    "ForSequenceClassification": {"classifier": Head(task="text-classification", **CLASSIFIER)},
    "ForTokenClassification": {"classifier": Head(task="token-classification", **CLASSIFIER)},
    "ForQuestionAnswering": {"qa": Head(task="question-answering", prefix="qa_outputs")},
    "ForMultipleChoice": {"choice": Head(task="multiple-choice", prefix="classifier")},
    "ForMaskedLM": {"mlm": Head(task="fill-mask", prefix="lm_head")},
    "ForCausalLM": {"lm": Head(task="text-generation", prefix="lm_head")},
    "Model": {},
}


@pytest.mark.parametrize("family", ["XLMRoberta", "XLMRobertaXL"])
@pytest.mark.parametrize("suffix", FOUND)
def test_a_plain_checkpoint_states_its_own_facts(family: str, suffix: str, tmp_path: Path) -> None:
    """Limits come from the configuration; heads and labels come from tensors, architectures and id2label."""
    facts = checkpoint_facts(write(draw(family + suffix), tmp_path))
    embed = Head(task="feature-extraction", also=("sentence-similarity", "rerank"))
    assert facts.heads == {**FOUND[suffix], "embed": embed}
    assert facts.family == {"XLMRoberta": "xlm-roberta", "XLMRobertaXL": "xlm-roberta-xl"}[family]
    assert (facts.max_tokens, facts.vocab_size, facts.pad_id) == (512, 500, 1)
    assert (facts.bos_id, facts.eos_id, facts.causal) == (0, 2, suffix == "ForCausalLM")
    assert (facts.mask_id, facts.mask_token, facts.lang2id) == (None, None, {})
    assert facts.weights_sha256 == weights_sha256(tmp_path)


@pytest.mark.parametrize(
    ("labels", "also"),
    [
        (("contradiction", "neutral", "Entailment"), ("zero-shot-classification",)),
        (("relevance",), ("rerank",)),
        (LABELS, ()),
    ],
)
def test_a_classifier_names_the_other_tasks_it_answers(
    labels: tuple[str, ...], also: tuple[str, ...], tmp_path: Path
) -> None:
    """An entailment label adds zero-shot classification, and a single label adds reranking."""
    facts = checkpoint_facts(
        write(draw("XLMRobertaForSequenceClassification", id2label=dict(enumerate(labels))), tmp_path)
    )
    assert facts.heads["classifier"].also == also


def test_the_mask_comes_from_the_tokenizer(tmp_path: Path) -> None:
    """The id of <mask> comes from tokenizer.json."""
    added = [{"id": 0, "content": "<s>"}, {"id": 499, "content": "<mask>"}]
    (tmp_path / "tokenizer.json").write_text(json.dumps({"added_tokens": added}))
    facts = checkpoint_facts(write(draw("XLMRobertaForMaskedLM"), tmp_path))
    assert (facts.mask_id, facts.mask_token) == (499, "<mask>")


def test_a_mask_of_another_name_is_the_one_that_the_tokenizer_names(tmp_path: Path) -> None:
    """tokenizer_config.json names it, as text or as a token."""
    (tmp_path / "tokenizer.json").write_text(json.dumps({"added_tokens": [{"id": 9, "content": "[MASK]"}]}))
    write(draw("XLMRobertaForMaskedLM"), tmp_path)
    for named in ("[MASK]", {"content": "[MASK]", "lstrip": True}):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"mask_token": named}))
        facts = checkpoint_facts(tmp_path)
        assert (facts.mask_id, facts.mask_token) == (9, "[MASK]")


def test_further_keys_of_config_are_ignored(tmp_path: Path) -> None:
    """Public checkpoints have keys of their own, of older versions and of other tools."""
    folder = write(draw("XLMRobertaForQuestionAnswering"), tmp_path)
    before = checkpoint_facts(folder)
    _edit_config(folder, language="english", name="XLM", gradient_checkpointing=False, _num_labels=2, adapters={})
    assert checkpoint_facts(folder).heads == before.heads


def test_one_class_need_not_be_in_a_list(tmp_path: Path) -> None:
    """`architectures` as a text is read as the class that it names."""
    _edit_config(write(draw("XLMRobertaForSequenceClassification"), tmp_path), architectures="XLMRobertaForMaskedLM")
    with pytest.raises(CheckpointError, match="says XLMRobertaForMaskedLM, but the checkpoint lacks"):
        checkpoint_facts(tmp_path)


def test_one_output_is_a_sigmoid(tmp_path: Path) -> None:
    """One label without a problem type is multi-label, as in the pipeline of the reference."""
    facts = checkpoint_facts(write(draw("XLMRobertaForSequenceClassification", id2label={0: "toxic"}), tmp_path))
    assert facts.heads["classifier"].problem_type == "multi_label_classification"


def test_listed_heads_are_found(tmp_path: Path) -> None:
    """Tensors of a head in heads.json begin with heads.<name>, unless its entry has another prefix."""
    write(draw("XLMRobertaForTokenClassification"), tmp_path)
    listed = {"entities": {"task": "token-classification", "labels": list(LABELS), "prefix": "classifier"}}
    (tmp_path / "heads.json").write_text(json.dumps(listed))
    assert checkpoint_facts(tmp_path).heads["entities"].labels == LABELS


def test_labels_of_an_embedder_may_contradict_each_other(tmp_path: Path) -> None:
    """Nothing reads them."""
    _edit_config(write(draw("XLMRobertaModel"), tmp_path), num_labels=1, label2id={"a": 0})
    assert list(checkpoint_facts(tmp_path).heads) == ["embed"]


def test_a_listed_classifier_needs_labels(tmp_path: Path) -> None:
    """Without labels its scores would have no names."""
    write(draw("XLMRobertaForTokenClassification"), tmp_path)
    (tmp_path / "heads.json").write_text(
        json.dumps({"names": {"task": "token-classification", "prefix": "classifier"}})
    )
    with pytest.raises(CheckpointError, match=r"heads\.json has names without labels, expected one for each"):
        checkpoint_facts(tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": "camembert"}, r"got model_type 'camembert', expected one of \['bert', 'xlm', 'xlm-roberta'"),
        ({"auto_map": {"AutoModel": "code.Model"}}, "remote code"),
        ({"add_cross_attention": True}, "add_cross_attention"),
        ({"hidden_act": "gelu_new"}, "hidden_act = 'gelu_new', expected 'gelu'"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"num_attention_heads": 5}, "got 5 heads, expected a divisor of 48"),
        ({"num_hidden_layers": 0}, "num_hidden_layers = 0, expected at least 1"),
        ({"hidden_size": "48"}, "cannot be read"),
        ({"id2label": 3}, "id2label 3, expected labels by index"),
        ({"id2label": ["a", "b"]}, "expected labels by index"),
        ({"id2label": {"0": None}}, "expected a label by its index"),
        ({"id2label": {str(i + 1): "a" for i in range(5)}}, "the ids 1, 2, 3, 4, 5 in id2label, expected 0 to 4"),
        ({"num_labels": 3}, "num_labels 3 and 5 labels in id2label, expected one number"),
        ({"id2label": None, "label2id": {"neg": 0, "pos": 1}}, "label2id and no id2label, expected both"),
        ({"problem_type": "multilabel"}, r"problem_type 'multilabel', expected one of \['single_label"),
        ({"model_type": None}, "got model_type None, expected one of"),
        ({"pad_token_id": None}, "no pad_token_id"),
        ({"num_hidden_layers": 3}, r"lacks 16 tensors: roberta\.encoder\.layer\.2\.attention.* and 11 more"),
        ({"vocab_size": 501}, r"word_embeddings\.weight has shape \(500, 48\), expected \(501, 48\)"),
        ({"id2label": {"0": "a"}}, "names 1 labels in id2label, the classifier has 5"),
    ],
)
def test_what_we_would_answer_wrongly_is_refused(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    """A configuration of another model, or one that its tensors contradict, is refused by name."""
    _edit_config(write(draw("XLMRobertaForSequenceClassification"), tmp_path), **changes)
    with pytest.raises(CheckpointError, match=said):
        checkpoint_facts(tmp_path)


def test_missing_tensors_and_an_adapter_are_named(tmp_path: Path) -> None:
    """A head without its bias, and an adapter that would not be applied, are refused."""
    write(draw("XLMRobertaForSequenceClassification"), tmp_path)
    _edit_tensors(tmp_path, drop="classifier.out_proj.bias")
    with pytest.raises(CheckpointError, match=r"lacks 1 tensor: classifier\.out_proj\.bias"):
        checkpoint_facts(tmp_path)
    _edit_tensors(tmp_path, **{"roberta.encoder.layer.0.output.lora_A.default.weight": torch.ones(1)})
    with pytest.raises(CheckpointError, match=r"holds 1 tensor: .*lora_A.*, of an adapter that is not merged"):
        checkpoint_facts(tmp_path)


def test_pooler_and_index_buffers_are_passed_over(tmp_path: Path) -> None:
    """Tensors that older versions store and no answer needs are not an error."""
    write(draw("XLMRobertaModel"), tmp_path)
    _edit_tensors(tmp_path, **{"embeddings.position_ids": torch.arange(514)[None]})
    assert checkpoint_facts(tmp_path).max_tokens == 512


@pytest.mark.parametrize("text", ["", "[]", "{", '{"model_type": 3}'])
def test_a_broken_config_is_an_error_of_ours(text: str, tmp_path: Path) -> None:
    """Any malformed config.json is a CheckpointError."""
    write(draw("XLMRobertaModel"), tmp_path)
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(CheckpointError):
        checkpoint_facts(tmp_path)
