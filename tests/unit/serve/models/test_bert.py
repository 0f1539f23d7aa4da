"""BERT bodies: the facts of each class, and the folders that are refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from serve.checkpoints.read import CheckpointError
from serve.models.checkpoint_facts import checkpoint_facts
from shared.catalog import Head
from tests.checkpoints import LABELS, draw, write

CLASSIFIER = {"prefix": "classifier", "labels": LABELS}
EMBED = Head(task="feature-extraction", also=("sentence-similarity",))
FOUND: dict[str, dict[str, Head]] = {
    "ForSequenceClassification": {"classifier": Head(task="text-classification", **CLASSIFIER)},
    "ForTokenClassification": {"classifier": Head(task="token-classification", **CLASSIFIER)},
    "ForQuestionAnswering": {"qa": Head(task="question-answering", prefix="qa_outputs")},
    "ForMultipleChoice": {"choice": Head(task="multiple-choice", prefix="classifier")},
    "ForMaskedLM": {"mlm": Head(task="fill-mask", prefix="cls.predictions")},
    "ForPreTraining": {"mlm": Head(task="fill-mask", prefix="cls.predictions")},
    "LMHeadModel": {"lm": Head(task="text-generation", prefix="cls.predictions")},
    "Model": {},
}


@pytest.mark.parametrize("suffix", FOUND)
def test_a_plain_checkpoint_states_its_own_facts(suffix: str, tmp_path: Path) -> None:
    """Positions count from 0, so that a row may have one token for each of them."""
    facts = checkpoint_facts(write(draw(f"Bert{suffix}", pad_token_id=0), tmp_path))
    assert {name: head.model_copy(update={"also": ()}) for name, head in facts.heads.items()} == {
        **FOUND[suffix],
        "embed": EMBED.model_copy(update={"also": ()}),
    }
    assert (facts.family, facts.max_tokens, facts.vocab_size, facts.pad_id) == ("bert", 514, 500, 0)
    assert facts.causal == (suffix == "LMHeadModel")


def test_a_classifier_of_no_named_class_reads_the_pooler_if_there_is_one(tmp_path: Path) -> None:
    """Without architectures, a stored pooler tells a classifier of texts from a tagger."""
    for kind, task in (
        ("SequenceClassification", "text-classification"),
        ("TokenClassification", "token-classification"),
    ):
        folder = write(draw(f"BertFor{kind}"), tmp_path / kind)
        raw = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**raw, "architectures": None}))
        assert checkpoint_facts(folder).heads["classifier"].task == task


def test_a_wordpiece_tokenizer_is_refused_by_name(tmp_path: Path) -> None:
    """Other BERTs are refused in a sentence that says which ones are served."""
    folder = write(draw("BertModel"), tmp_path)
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n")
    with pytest.raises(
        CheckpointError, match=r"WordPiece tokenizer in vocab\.txt, expected the tokenizer of XLM-R"
    ) as seen:
        checkpoint_facts(folder)
    assert "multilingual-e5-small" in str(seen.value.hint)
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"type": "WordPiece"}}))
    with pytest.raises(CheckpointError, match=r"WordPiece tokenizer in tokenizer\.json"):
        checkpoint_facts(folder)
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"type": "Unigram"}}))
    assert checkpoint_facts(folder).family == "bert"


def test_a_head_that_answers_no_task_is_refused_by_name(tmp_path: Path) -> None:
    """Next sentence prediction is never served as an embedder in silence."""
    folder = write(draw("BertForNextSentencePrediction"), tmp_path)
    with pytest.raises(CheckpointError, match="BertForNextSentencePrediction"):
        checkpoint_facts(folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hidden_act": "gelu_new"}, "hidden_act = 'gelu_new', expected 'gelu'"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type = 'relative_key'"),
        ({"auto_map": {"AutoModel": "m.M"}}, "remote code"),
        ({"num_attention_heads": 5}, "expected a divisor of 48"),
    ],
)
def test_a_config_whose_answers_would_differ_is_refused(changes: dict[str, object], said: str, tmp_path: Path) -> None:
    """A setting that this family does not compute is named."""
    folder = write(draw("BertModel"), tmp_path)
    raw = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**raw, **changes}))
    with pytest.raises(CheckpointError, match=said):
        checkpoint_facts(folder)
