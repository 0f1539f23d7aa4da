"""Tiny random checkpoints of every family, a question for each task, and a catalog of folders.

`write_plain` writes one checkpoint for each class of a family. `write_whole` writes a few checkpoints with many heads
each. This module must not know who serves them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from glossa.commands.catalog.add import add
from glossa.commands.catalog.options import EntryOptions
from tests import checkpoints, checkpoints_xlm
from tests.data import N_PIECES, XLMR_TOKENIZER
from tests.unit.functions.tokenizers import tiny, tiny_xlm

WEIGHTS = "model.safetensors"
NLI = {"id2label": {0: "contradiction", 1: "neutral", 2: "entailment"}}
ONE = {"id2label": {0: "good"}}
CLASSES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("ForSequenceClassification", NLI),
    ("ForSequenceClassification", ONE),
    ("ForTokenClassification", {}),
    ("ForQuestionAnswering", {}),
    ("ForMultipleChoice", {}),
    ("ForMaskedLM", {}),
    ("ForCausalLM", {}),
    ("Model", {}),
)
XLM_CLASSES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("XLMForSequenceClassification", NLI),
    ("XLMForSequenceClassification", {"num_labels": 1}),
    ("XLMForTokenClassification", {}),
    ("XLMForQuestionAnsweringSimple", {}),
    ("XLMForQuestionAnswering", {}),
    ("XLMForMultipleChoice", {}),
    ("XLMWithLMHeadModel", {}),
)
PLAIN = {"xlm-roberta": "XLMRoberta", "xlm-roberta-xl": "XLMRobertaXL", "xlm": "XLM", "bert": "Bert"}
DECODERS = {"Bert": "LMHeadModel"}  # the class of a causal LM, where it is not called ForCausalLM
LONG = "Anna lives in Turku. " * 60
BODIES: dict[str, tuple[Any, dict[str, Any]]] = {
    "text-classification": (["Alle Menschen", {"text": "a", "text_pair": "b"}], {"top_k": None}),
    "zero-shot-classification": (["Alle Menschen"], {"candidate_labels": ["Recht", "Sport"]}),
    "token-classification": ([LONG], {"aggregation_strategy": "first"}),
    "question-answering": ([{"question": "Who?", "context": LONG}], {"top_k": 2}),
    "multiple-choice": ([{"text": "It rains, so", "choices": ["I swim", "I read", "I sleep"]}], {}),
    "fill-mask": (["All <mask> beings are <mask>."], {"top_k": 3}),
    "text-generation": (["All human"], {"max_new_tokens": 3}),
    "feature-extraction": (["All human beings"], {"pooling": "max", "layers": [0, -1], "attentions": True}),
    "sentence-similarity": ([{"source_sentence": "a", "sentences": ["a", "b c"]}], {"pooling": "cls"}),
    "rerank": ([{"query": "who", "documents": ["Anna", "nobody"]}], {"return_documents": True}),
}

ROBERTA = {
    "vocab_size": 1300,
    "max_position_embeddings": 66,
    "type_vocab_size": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
}
LANG2ID = {lang: i for i, lang in enumerate(tiny_xlm.LANGS)}
XLM = {"vocab_size": 1300, "max_position_embeddings": 64, "n_langs": len(LANG2ID), "lang2id": LANG2ID}
# The heads of a checkpoint with many heads, by name: class, place of the tensors, and entry in heads.json.
Taken = Mapping[str, tuple[str, str, dict[str, Any]]]
NLI_FACTS = {"task": "text-classification", "labels": list(NLI["id2label"].values())}
GOOD_FACTS = {"task": "text-classification", "labels": ["good"]}
ENTITY_FACTS = {"task": "token-classification", "labels": checkpoints.LABELS}
SPAN = ("start", "end")
SPAN_FACTS = {"task": "question-answering"}
ROBERTA_HEADS: Taken = {
    "nli": ("ForSequenceClassification", "classifier", NLI_FACTS),
    "good": ("ForSequenceClassification", "classifier", GOOD_FACTS),
    "entities": ("ForTokenClassification", "classifier", ENTITY_FACTS),
    "answers": ("ForQuestionAnswering", "qa_outputs", SPAN_FACTS),
    "choice": ("ForMultipleChoice", "classifier", {"task": "multiple-choice"}),
}
XLM_HEADS: Taken = {
    "nli": ("ForSequenceClassification", "sequence_summary", NLI_FACTS),
    "entities": ("ForTokenClassification", "classifier", ENTITY_FACTS),
    "answers": ("ForQuestionAnsweringSimple", "qa_outputs", SPAN_FACTS),
}
BEAM_HEADS: Taken = {
    "good": ("ForSequenceClassification", "sequence_summary", GOOD_FACTS),
    "entities": XLM_HEADS["entities"],
    "answers": ("ForQuestionAnswering", "qa_outputs", {**SPAN_FACTS, "variant": "beam"}),
}

DECODER = {"base": "ForCausalLM", "is_decoder": True}
ASM = {"asm": True, "asm_cutoffs": [300, 700], "asm_div_value": 2.0, "sinusoidal_embeddings": True}
# One checkpoint of each kind of each family: its model_type, and its unusual settings.
WHOLE: Mapping[str, tuple[str, dict[str, Any]]] = {
    "xlm-roberta": ("xlm-roberta", {}),
    "xlm-roberta-decoder": ("xlm-roberta", DECODER),
    "xlm-v": ("xlm-roberta", {"tokenizer": XLMR_TOKENIZER, "vocab_size": N_PIECES + 1_000}),  # and rows without a piece
    "xlm-roberta-xl": ("xlm-roberta-xl", {}),
    "xlm-roberta-xxl": (
        "xlm-roberta-xl",
        {**DECODER, "hidden_size": 256, "num_attention_heads": 2},
    ),  # heads of width 128
    "bert": ("bert", {"pad_token_id": 0}),
    "xlm": ("xlm", {"gelu_activation": True}),
    "xlm-causal": ("xlm", {"causal": True, "summary_type": "mean"}),
    "xlm-asm": ("xlm", {**ASM, "heads": BEAM_HEADS, "num_labels": 1}),
}


def write_plain(family: str, root: Path) -> list[Path]:
    """Write one checkpoint for each class of a family. Return their folders."""
    is_xlm = family == "xlm"
    learnt = _learn(root, tiny_xlm.write_tokenizer if is_xlm else tiny.write_tokenizer)
    draw, sizes = (checkpoints_xlm.draw, XLM) if is_xlm else (checkpoints.draw, ROBERTA)
    folders = []
    for at, (kind, said) in enumerate(XLM_CLASSES if is_xlm else CLASSES):
        folder = _copy_tokenizer(learnt, root / f"{at}-{kind.lower()}")
        named = kind if is_xlm else _class_of(PLAIN[family], kind)
        folders.append(checkpoints.write(draw(named, **sizes, **said), folder))
    return folders


def write_whole(root: Path, names: Iterable[str] = tuple(WHOLE)) -> list[Path]:
    """Write these checkpoints of `WHOLE` with all the heads that they can hold. Return their folders."""
    learnt, learnt_xlm = _learn(root, tiny.write_tokenizer), _learn(root, tiny_xlm.write_tokenizer)
    return [
        _write_xlm(root / name, learnt_xlm, **settings)
        if family == "xlm"
        else _write_roberta(root / name, **{"prefix": PLAIN[family], "tokenizer": learnt, **settings})
        for name, (family, settings) in WHOLE.items()
        if name in names
    ]


def make_catalog(path: Path, folders: Iterable[Path], *, num_cpus: float = 1.0) -> Path:
    """Add each folder to a catalog under its own name, as `glossa catalog add` does. Return the path of the catalog.

    Each replica takes `num_cpus` CPUs.
    """
    for folder in folders:
        add(path, str(folder), EntryOptions(folder.name, tokens_per_s=1e6))
    text = path.read_text(encoding="utf-8")
    speed = "\ntokens_per_s = "
    path.write_text(text.replace(speed, f"\nreplicas = {{ num_cpus = {num_cpus} }}{speed}"), encoding="utf-8")
    return path


def _class_of(prefix: str, suffix: str) -> str:
    """Return the name of a class of transformers."""
    return prefix + (DECODERS.get(prefix, suffix) if suffix == "ForCausalLM" else suffix)


def _write_roberta(folder: Path, *, prefix: str, tokenizer: Path, base: str = "ForMaskedLM", **more: Any) -> Path:
    """Write a language model and other heads with the pooler that one of them reads."""
    _copy_tokenizer(tokenizer, folder)
    pooler = "bert" if prefix == "Bert" else "roberta"
    draw = partial(checkpoints.draw, **{**ROBERTA, **more})
    checkpoints.write(draw(prefix + base), folder)
    tensors: dict[str, Any] = {}
    for seed, (name, (kind, at, facts)) in enumerate(ROBERTA_HEADS.items(), 1):
        said = {"num_labels": len(facts["labels"]), "id2label": None} if "labels" in facts else {}
        drawn = draw(prefix + kind, seed=seed, **said).state_dict()
        tensors |= _moved(drawn, f"{at}.", f"heads.{name}.") | _moved(drawn, f"{pooler}.pooler.", f"{pooler}.pooler.")
    return _add_heads(folder, tensors, ROBERTA_HEADS)


def _write_xlm(folder: Path, tokenizer: Path, heads: Taken = XLM_HEADS, **more: Any) -> Path:
    """Write a language model and other heads. The head of multiple choice keeps its usual names."""
    _copy_tokenizer(tokenizer, folder)
    draw = partial(checkpoints_xlm.draw, **{**XLM, "num_labels": len(NLI["id2label"]), **more})
    checkpoints.write(draw("XLMWithLMHeadModel"), folder)
    tensors: dict[str, Any] = {}
    for seed, (name, (kind, at, facts)) in enumerate(heads.items(), 1):
        said = {"num_labels": len(facts.get("labels", SPAN))}
        drawn = draw(f"XLM{kind}", seed=seed, **said).state_dict()
        tensors |= _moved(drawn, f"{at}.", f"heads.{name}.")
    drawn = draw("XLMForMultipleChoice", seed=9).state_dict()
    for name in ("sequence_summary.", "logits_proj."):
        tensors |= _moved(drawn, name, name)
    return _add_heads(folder, tensors, heads)


def _moved(tensors: Mapping[str, Any], old: str, new: str) -> dict[str, Any]:
    """Return the tensors whose names begin with `old`, renamed to begin with `new`."""
    return {new + name.removeprefix(old): value.clone() for name, value in tensors.items() if name.startswith(old)}


def _add_heads(folder: Path, tensors: Mapping[str, Any], heads: Taken) -> Path:
    stored = load_file(folder / WEIGHTS)
    save_file({**stored, **tensors}, folder / WEIGHTS, metadata={"format": "pt"})
    facts = {name: facts for name, (_, _, facts) in heads.items()}
    (folder / "heads.json").write_text(json.dumps(facts), encoding="utf-8")
    return folder


def _learn(root: Path, write: Any) -> Path:
    learnt = root / f"tokenizer-{write.__module__.rpartition('.')[2]}"
    learnt.mkdir()
    write(learnt)
    return learnt


def _copy_tokenizer(source: Path, folder: Path) -> Path:
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"):
        if (source / name).is_file():
            (folder / name).write_bytes((source / name).read_bytes())
    return folder
