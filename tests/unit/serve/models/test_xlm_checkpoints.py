"""The facts of XLM checkpoints, the settings that are refused by name, and the beam and next-token heads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from serve.checkpoints.read import SINGLE, CheckpointError
from serve.engine.load_engine import load_engine
from serve.models.checkpoint_facts import checkpoint_facts
from serve.models.xlm.encoder import POSITIONS, sinusoids
from serve.rows.pack import pack_rows
from serve.rows.row import row_of
from shared.catalog import Head
from tests.checkpoints import LABELS, catalog_model, write
from tests.checkpoints_xlm import LANGS, PAD, draw
from tests.judge import reference_inputs
from tests.judge_xlm import CASES, judge, rows_for

SUMMARY = Head(task="text-classification", prefix="sequence_summary", labels=LABELS)
LM = "pred_layer.proj"
FOUND = {
    "XLMModel": {},
    "XLMForSequenceClassification": {"classifier": SUMMARY},
    "XLMForTokenClassification": {
        "classifier": Head(task="token-classification", prefix="classifier", labels=LABELS)
    },
    "XLMForQuestionAnsweringSimple": {"qa": Head(task="question-answering", prefix="qa_outputs")},
    "XLMForQuestionAnswering": {"qa": Head(task="question-answering", prefix="qa_outputs", variant="beam")},
    "XLMForMultipleChoice": {"choice": Head(task="multiple-choice", prefix="logits_proj")},
    "XLMWithLMHeadModel": {
        "mlm": Head(task="fill-mask", prefix=LM), "lm": Head(task="text-generation", prefix=LM),
    },
}  # fmt: skip


def _edit_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    kept = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({name: value for name, value in kept.items() if value != "absent"}))


def _edit_tensors(folder: Path, **add: torch.Tensor) -> None:
    save_file(load_file(folder / SINGLE) | add, folder / SINGLE)


@pytest.mark.parametrize("kind", CASES)
def test_a_plain_checkpoint_states_its_own_facts(kind: str, tmp_path: Path) -> None:
    """Limits, ids and languages come from the configuration; heads come from tensors and architectures."""
    facts = checkpoint_facts(write(draw(kind, causal=True, **LANGS["languages"]), tmp_path))
    assert facts.heads.keys() == {*FOUND[kind], "embed"}
    assert {name: facts.heads[name] for name in FOUND[kind]} == FOUND[kind]
    assert (facts.family, facts.max_tokens, facts.vocab_size, facts.pad_id) == ("xlm", 512, 500, PAD)
    assert (facts.causal, facts.bos_id, facts.eos_id) == (True, 0, 1)
    assert facts.lang2id == {"de": 0, "en": 1, "fr": 2}


def test_a_summary_without_projection_is_found_by_its_class(tmp_path: Path) -> None:
    """Such a classifier has no tensor of its own, and as many labels as the width of a state."""
    facts = checkpoint_facts(
        write(draw("XLMForSequenceClassification", summary_use_proj=False, num_labels=48), tmp_path)
    )
    assert len(facts.heads["classifier"].labels) == 48


@pytest.mark.parametrize(
    ("kind", "changes", "said"),
    [
        ("XLMModel", {"is_encoder": False}, "is_encoder = False, expected True"),
        ("XLMModel", {"n_heads": 5}, "got 5 heads, expected a divisor of 48"),
        ("XLMModel", {"n_layers": 0}, "n_layers = 0, expected at least 1"),
        ("XLMModel", {"n_layers": 3}, "lacks 16 tensors: attentions"),
        ("XLMModel", {"vocab_size": 501}, r"embeddings\.weight has shape \(500, 48\), expected \(501, 48\)"),
        ("XLMModel", {"n_langs": 3}, r"lacks 1 tensor: lang_embeddings\.weight"),
        ("XLMModel", {"pad_token_id": None}, "no pad_index, expected one"),
        ("XLMModel", {"pad_token_id": 500}, "pad_index = 500, expected one of the vocabulary"),
        ("XLMModel", {"lang2id": {"en": 0, "fr": 1}}, "lang2id fr = 1, expected 0 <= id < 1"),
        ("XLMModel", {"lang2id": ["en"]}, "expected languages with their ids"),
        ("XLMForSequenceClassification", {"summary_type": "attn"}, "summary_type = 'attn', expected one of"),
        ("XLMForMultipleChoice", {"summary_type": "attn"}, "summary_type = 'attn', expected one of"),
        ("XLMForSequenceClassification", {"summary_activation": "loud"}, "'loud', which the reference lacks"),
        ("XLMForSequenceClassification", {"id2label": {"0": "a"}}, "shape"),
        ("XLMForSequenceClassification", {"summary_proj_to_labels": False}, "names 5 labels in id2label"),
        ("XLMForQuestionAnswering", {"start_n_top": 0}, "start_n_top = 0, expected at least 1"),
        ("XLMWithLMHeadModel", {"asm": True}, "asm_cutoffs = None, expected a list"),
        ("XLMWithLMHeadModel", {"asm": True, "asm_cutoffs": [9, 9]}, r"9\], expected rising numbers within 1..499"),
        ("XLMWithLMHeadModel", {"asm": True, "asm_cutoffs": [9]}, "asm_div_value = None, expected 1 to 48"),
        ("XLMWithLMHeadModel", {"asm": True, "asm_cutoffs": [9], "asm_div_value": 4}, "lacks 4 tensors: pred_layer"),
    ],
)  # fmt: skip
def test_what_we_would_answer_wrongly_is_refused(kind: str, changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    """Settings for which the reference fails, or which the tensors contradict, are refused by name."""
    _edit_config(write(draw(kind), tmp_path), **changes)
    with pytest.raises(CheckpointError, match=said):
        checkpoint_facts(tmp_path)


def test_a_tensor_that_the_model_does_not_read_is_named(tmp_path: Path) -> None:
    """It is ignored, as transformers ignores it."""
    _edit_tensors(write(draw("XLMModel"), tmp_path), **{"encoder_attn.0.q_lin.weight": torch.zeros(2)})
    assert checkpoint_facts(tmp_path).ignored == ("tensor encoder_attn.0.q_lin.weight: the model does not read it",)


def test_an_older_checkpoint_is_read_alike(tmp_path: Path) -> None:
    """Old names, stored index buffers, a decoder stored twice and an unused language table change nothing."""
    reference = draw("XLMWithLMHeadModel", **LANGS["languages unread"])
    folder = write(reference, tmp_path)
    older = {"n_words": 500, "pad_index": PAD, "bos_index": 0, "eos_index": 1, "hidden_size": 48}
    gone = dict.fromkeys(("vocab_size", "pad_token_id", "bos_token_id", "eos_token_id", "emb_dim"), "absent")
    _edit_config(folder, **older, **gone)
    _edit_tensors(
        folder,
        **{
            "transformer.position_ids": torch.arange(512)[None],
            "transformer.lang_embeddings.weight": torch.randn(3, 48),
            "pred_layer.proj.weight": reference.pred_layer.proj.weight.detach().clone(),
        },
    )
    rows = rows_for("XLMWithLMHeadModel", langs=True, lengths=(5, 9, 2))
    results = load_engine(catalog_model(folder), folder, device="cpu").forward(rows)
    assert judge(reference, rows, results, torch.float32).ok


def test_a_beam_has_the_references_names_and_shapes(tmp_path: Path) -> None:
    """All five outputs equal those of XLMForQuestionAnswering, indices and order included, when no scores tie."""
    reference = draw("XLMForQuestionAnswering")
    folder = write(reference, tmp_path)
    row = rows_for("XLMForQuestionAnswering", langs=False, lengths=[40])[0]
    output: Any = load_engine(catalog_model(folder), folder, device="cpu").forward([row])[0]
    with torch.no_grad():
        theirs = reference(**reference_inputs(row))
    assert set(output) == {
        "start_top_log_probs", "start_top_index", "end_top_log_probs", "end_top_index", "cls_logits"
    }  # fmt: skip
    for name, ours in output.items():
        torch.testing.assert_close(ours, theirs[name].to(ours.dtype), rtol=1e-5, atol=1e-6)


def test_a_row_shorter_than_a_beam_fails_no_other(tmp_path: Path) -> None:
    """The missing entries of a short row hold index 0 and probability 0, so that rows of any length can be packed."""
    folder = write(draw("XLMForQuestionAnswering", start_n_top=4, end_n_top=3), tmp_path)
    rows = rows_for("XLMForQuestionAnswering", langs=False, lengths=[2, 9])
    outputs: Any = load_engine(catalog_model(folder), folder, device="cpu").forward(rows)
    assert [output["start_top_index"].shape for output in outputs] == [(1, 4), (1, 4)]
    short = outputs[0]["end_top_log_probs"].view(3, 4)
    assert (short != 0).tolist() == [[True, True, False, False]] * 2 + [[False] * 4]
    assert not outputs[0]["end_top_index"].view(3, 4)[short == 0].any()


@pytest.mark.parametrize("prediction", ["product", "adaptive"])
def test_the_next_token_is_scored_as_the_reference_scores_it(prediction: str, tmp_path: Path) -> None:
    """The generating head reads the last token of each row, where the reference has its mask."""
    settings = CASES["XLMWithLMHeadModel"].switches["prediction"][prediction]
    reference = draw("XLMWithLMHeadModel", causal=True, **settings)
    engine = load_engine(catalog_model(folder := write(reference, tmp_path)), folder, device="cpu")
    rows = [row_of([0, 7, 9, 5], "lm"), row_of([0, 31, 8, 4, 77, 5], "lm")]
    pack = pack_rows(dict(enumerate(rows)), torch.device("cpu"))
    with torch.inference_mode():
        ours: Any = engine._heads["lm"]
        scores = ours.score(ours.last_states(engine._encoder(pack), pack, [0, 1]))
        for row, own in zip(rows, scores, strict=True):
            last = reference.transformer(**reference_inputs(row)).last_hidden_state[:, -1]
            proj = reference.pred_layer.proj
            torch.testing.assert_close(own, getattr(proj, "log_prob", proj)(last)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_sinusoidal_table_that_is_not_stored_is_computed(dtype: str, tmp_path: Path) -> None:
    """A sinusoidal table is computed from the configuration, as in the reference.

    A missing learned table is refused.
    """
    stored = draw("XLMModel", sinusoidal_embeddings=True)
    write(stored, tmp_path / "stored")
    write(stored, tmp_path / "computed")
    tensors = load_file(tmp_path / "computed" / SINGLE)
    table = tensors.pop(POSITIONS)
    save_file(tensors, tmp_path / "computed" / SINGLE)
    torch.testing.assert_close(sinusoids(stored.config), table, rtol=0, atol=1e-7)
    rows = [row_of([5, 6, 7, 8], "embed"), row_of(list(range(3, 300)), "embed")]
    answers = [
        load_engine(catalog_model(tmp_path / name, dtype=dtype), tmp_path, device="cpu").forward(rows)
        for name in ("stored", "computed")
    ]
    for one, other in zip(*answers, strict=True):
        assert isinstance(one, dict)
        assert isinstance(other, dict)
        torch.testing.assert_close(other["vectors"], one["vectors"], rtol=1e-5, atol=1e-6)
    _edit_config(tmp_path / "computed", sinusoidal_embeddings=False)
    with pytest.raises(CheckpointError, match="checkpoint lacks 1 tensor: position_embeddings"):
        checkpoint_facts(tmp_path / "computed")
