"""From a checkpoint folder to an answer, for each form of tokenizer: rules of the kernel, and rules of the library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import transformers

from functions.http.text_json import parse_request
from functions.pipeline.pipeline import Pipeline
from functions.tokenizers.load import load_tokenizers
from functions.tokenizers.memory_mapped.tokenizer import MemoryMappedTokenizer
from functions.tokenizers.tokenizer import Tokenizer
from functions.tokenizers.unigram import JsonTokenizer
from glossa.commands.artifacts import write_artifacts
from glossa.commands.catalog.add import add
from glossa.commands.catalog.options import EntryOptions
from shared.catalog import Catalog, load_catalog
from tests.unit.functions.tokenizers import forms, tiny
from tests.unit.functions.tokenizers.forms import HARD, KEPT, METASPACE, OURS, PUNCTUATION, SPLIT

PUNCTUATED = forms.rules(pre_tokenizer=forms.split(SPLIT, PUNCTUATION, METASPACE))
FORMS = {"e5": (forms.like_e5(), OURS), "e5-kept": (forms.like_e5(), KEPT), "punctuated": (PUNCTUATED, KEPT)}
TEXTS = [*(text for text in HARD if text.strip("\u200b ")), "Well, it's (now) 3.5% -- or so!"]
Made = tuple[Catalog, dict[str, Tokenizer], list[str]]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a random classifier with each form of tokenizer, as a checkpoint folder."""
    root = tmp_path_factory.mktemp("forms")
    for name, (stored, named) in FORMS.items():
        tiny.write_checkpoint(forms.write(root / name, stored, {"tokenizer_class": named}), "sequence", ("a", "b", "c"))
    return root


@pytest.fixture(scope="module")
def made(house: Path) -> Made:
    """Add the folders to a catalog, write its artifacts, and load them as functions do. Also return the warnings."""
    for name in FORMS:
        add(house / "catalog.toml", str(house / name), EntryOptions(name, tokens_per_s=100.0))
    catalog, said = load_catalog(house / "catalog.toml"), list[str]()
    write_artifacts(catalog, house, house / "artifacts", warn=said.append)
    return catalog, load_tokenizers(catalog, house / "artifacts"), said


def test_rules_of_e5_have_a_prebuilt_form_and_others_go_by_the_library(house: Path, made: Made) -> None:
    """E5's rules are read by the kernel under both classes. Of the other rules the build says which it is."""
    _, tokenizers, said = made
    manifest = json.loads((house / "artifacts" / "manifest.json").read_text("utf-8"))["models"]
    assert {name: "prebuilt" in entry for name, entry in manifest.items()} == {
        "e5": True, "e5-kept": True, "punctuated": False,
    }  # fmt: skip
    assert {name: type(tokenizer) for name, tokenizer in tokenizers.items()} == {
        "e5": MemoryMappedTokenizer, "e5-kept": MemoryMappedTokenizer, "punctuated": JsonTokenizer,
    }  # fmt: skip
    assert len(said) == 1
    assert said[0].startswith("punctuated: this tokenizer has no prebuilt form: it does not split by Metaspace")


@pytest.mark.parametrize("name", FORMS)
def test_each_form_answers_as_transformers(house: Path, made: Made, name: str) -> None:
    """The labels and scores are those of transformers' own pipeline over the folder."""
    catalog, tokenizers, _ = made
    network: Any = tiny.KINDS["sequence"].from_pretrained(str(house / name))
    request = parse_request("text-classification", {"inputs": TEXTS, "model": name, "parameters": {"top_k": 3}})
    ours: Any = Pipeline(catalog, tokenizers).run(request, tiny.reference_infer(network.eval())).values
    folder = str(house / name)
    reference: Any = transformers.pipeline("text-classification", model=folder, tokenizer=folder, device="cpu")
    theirs = reference(TEXTS, top_k=3)
    for mine, wanted in zip(ours, theirs, strict=True):
        assert [found["label"] for found in mine] == [found["label"] for found in wanted]
        assert [found["score"] for found in mine] == pytest.approx([found["score"] for found in wanted], abs=1e-5)
