"""Tokenizers as people have them: accepted with the ids of transformers, or refused with advice that repairs."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from functions.tokenizers.load import read_tokenizer
from functions.tokenizers.tokenizer import Tokenizer
from glossa.tokenizer_build.checkpoints import artifact_of, check_rows, checked_tokenizer
from glossa.tokenizer_build.reference import TokenizerError
from tests.unit.functions.tokenizers import forms
from tests.unit.functions.tokenizers.forms import HARD, KEPT, METASPACE, OURS, PADDING, PUNCTUATION, SPLIT, STRIP

BERT = {"model_type": "bert"}
E5 = forms.like_e5()
ROBERTA_LAYOUT = {
    "type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": True, "add_prefix_space": True,
}  # fmt: skip
STRIPPED = forms.rules(normalizer=forms.normalizers(STRIP), pre_tokenizer=METASPACE)
WIDE_MASK = forms.rules()
WIDE_MASK["added_tokens"][-1] |= {"lstrip": True}  # as in e5-base
STORED_LENGTHS = forms.rules(padding=PADDING, truncation=forms.TRUNCATION)
PUNCTUATED = forms.rules(pre_tokenizer=forms.split(SPLIT, PUNCTUATION, METASPACE))
EXTRA = ["[E1]", "[/E1]"]
TWO_IDS = {"[E1]": forms.N_PIECES + 1, "[/E1]": forms.N_PIECES + 2}


def read(folder: Path) -> Tokenizer:
    """Return the tokenizer of a folder's artifact, after the comparison that `catalog add` makes."""
    return checked_tokenizer(folder)


def ids_of(tokenizer: Tokenizer) -> list[list[int]]:
    """Return the ids of the hard texts with special tokens."""
    layout = tokenizer.layout
    return [[*layout.first, *tokenizer.encode(text).ids, *layout.last] for text in HARD]


@pytest.mark.parametrize(
    ("stored", "config", "files"),
    [
        (E5, {"tokenizer_class": OURS}, {}),
        (E5, {"tokenizer_class": f"{OURS}Fast"}, {"config": BERT}),
        (E5, None, {}),
        (E5, {"tokenizer_class": KEPT}, {"config": BERT}),
        (forms.rules(post_processor=ROBERTA_LAYOUT), {"tokenizer_class": OURS}, {}),
        (WIDE_MASK, {"tokenizer_class": OURS}, {}),
        (WIDE_MASK, {"tokenizer_class": KEPT}, {}),
        (STRIPPED, {"tokenizer_class": OURS}, {}),
        (STRIPPED, {"tokenizer_class": KEPT}, {}),
        (STORED_LENGTHS, {"tokenizer_class": OURS}, {}),
        (STORED_LENGTHS, {"tokenizer_class": KEPT}, {}),
        (PUNCTUATED, {"tokenizer_class": KEPT}, {}),
        (None, {"tokenizer_class": OURS}, {}),
        (forms.rules(), {"tokenizer_class": OURS, "additional_special_tokens": EXTRA}, {}),
        (forms.rules(), {"tokenizer_class": KEPT, "additional_special_tokens": EXTRA}, {}),
        (forms.rules(), None, {"special_tokens_map": {"additional_special_tokens": EXTRA}}),
        (forms.rules(), {"tokenizer_class": OURS}, {"added_tokens": TWO_IDS}),
    ],
)
def test_ids_are_those_of_transformers(
    tmp_path: Path, stored: Mapping[str, Any] | None, config: Mapping[str, Any] | None, files: dict[str, Any]
) -> None:
    """Whatever the form, a text gets the ids that `AutoTokenizer` gives for the folder, from the same artifact."""
    folder = forms.write(tmp_path, stored, config, **files)
    ours, reference = read(folder), AutoTokenizer.from_pretrained(str(folder))
    assert ids_of(ours) == reference(list(HARD))["input_ids"]
    assert artifact_of(folder) == artifact_of(folder)
    for token in EXTRA if stored == forms.rules() else ():
        assert ours.encode(f"x {token}y").ids == tuple(reference(f"x {token}y", add_special_tokens=False)["input_ids"])
        assert ours.id_of(token) == TWO_IDS[token]


@pytest.mark.parametrize("stored", [E5, None])
def test_a_bert_folder_without_a_class_is_read_as_xlm_roberta(tmp_path: Path, stored: dict[str, Any] | None) -> None:
    """Old revisions of multilingual MiniLM name no class; transformers 5 would read letters by WordPiece."""
    folder = forms.write(tmp_path, stored, {}, config=BERT)
    named = forms.write(tmp_path / "named", stored, {"tokenizer_class": OURS}, config=BERT)
    assert ids_of(read(folder)) == ids_of(read(named))


def test_a_file_that_means_the_same_is_the_artifact_itself(tmp_path: Path) -> None:
    """Its bytes are kept, so that digests in catalogs stay; so they are when the catalog knows their digest."""
    folder = forms.write(tmp_path, forms.rules(), {"tokenizer_class": OURS})
    own = (folder / "tokenizer.json").read_bytes()
    assert artifact_of(folder) == own
    digest = read_tokenizer(own).fingerprint
    (folder / "tokenizer_config.json").write_text("{broken", encoding="utf-8")
    assert artifact_of(folder, digest) == own


def follow(folder: Path, hint: str) -> None:
    """Change a folder as a hint says."""
    for name, value, file in re.findall(r'set "(\w+)": "(\w+)" in ([\w.]+)', hint):
        path = folder / file
        path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {name: value}), encoding="utf-8")
    for name, file in re.findall(r"delete (\w+) from ([\w]+\.json)", hint):
        path = folder / file
        kept = {key: value for key, value in json.loads(path.read_text("utf-8")).items() if key != name}
        path.write_text(json.dumps(kept), encoding="utf-8")


WITH_TOKENS = forms.rules()
WITH_TOKENS["added_tokens"] += [
    WITH_TOKENS["added_tokens"][-1] | {"id": i, "content": token} for token, i in TWO_IDS.items()
]
OLD_LIST = {str(token["id"]): {k: v for k, v in token.items() if k != "id"} for token in forms.rules()["added_tokens"]}


@pytest.mark.parametrize(
    ("stored", "config", "named", "like"),
    [
        (forms.rules(), {"tokenizer_class": "RobertaTokenizer"}, "RobertaTokenizer", forms.rules()),
        (forms.rules(), {"tokenizer_class": "BertTokenizer"}, "BertTokenizer", forms.rules()),
        (forms.rules(), {"tokenizer_class": "XLMTokenizer"}, "XLMTokenizer", forms.rules()),
        (forms.rules(), {"tokenizer_class": "T5TokenizerFast"}, "T5TokenizerFast", forms.rules()),
        (
            forms.rules(), {"tokenizer_class": "RobertaTokenizer", "add_prefix_space": False}, "RobertaTokenizer",
            forms.rules(),
        ),
        (forms.rules(), {"tokenizer_class": OURS, "add_prefix_space": False}, "add_prefix_space false", forms.rules()),
        (PUNCTUATED, {"tokenizer_class": OURS}, "Punctuation", PUNCTUATED),
        (PUNCTUATED, {"tokenizer_class": "RobertaTokenizer"}, "RobertaTokenizer", PUNCTUATED),
        (WITH_TOKENS, {"tokenizer_class": OURS, "added_tokens_decoder": OLD_LIST}, r"\[E1\] is 3001", WITH_TOKENS),
        (forms.rules(), {"tokenizer_class": OURS, "split_special_tokens": True}, "split_special_tokens", forms.rules()),
    ],
)  # fmt: skip
def test_what_would_be_ruined_is_refused_with_advice_that_repairs(
    tmp_path: Path, stored: dict[str, Any], config: dict[str, Any], named: str, like: dict[str, Any]
) -> None:
    """The error names the fact. After its advice the ids are those of the rules that the model was trained with."""
    folder = forms.write(tmp_path, stored, config)
    with pytest.raises(TokenizerError, match=named) as caught:
        artifact_of(folder)
    follow(folder, str(caught.value.hint))
    assert ids_of(read(folder)) == forms.ids_by(like)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"normalizer": forms.normalizers({"type": "Lowercase"})}, "normalizer Lowercase"),
        ({"normalizer": {"type": "Sequence", "normalizers": [forms.normalizers(STRIP)]}}, "normalizer Precompiled"),
        ({"pre_tokenizer": forms.split({"type": "Digits", "individual_digits": True}, METASPACE)}, "Digits"),
        ({"pre_tokenizer": SPLIT}, "pre-tokenizer WhitespaceSplit"),
        ({"pre_tokenizer": METASPACE | {"prepend_scheme": "never"}}, "Metaspace"),
        ({"post_processor": None}, "post_processor"),
    ],
)
def test_a_rule_that_transformers_drops_is_named_and_can_be_kept(
    tmp_path: Path, changes: dict[str, Any], named: str
) -> None:
    """The model was trained with the rule; `PreTrainedTokenizerFast` keeps it."""
    stored = forms.rules(**changes)
    folder = forms.write(tmp_path, stored, {"tokenizer_class": OURS})
    with pytest.raises(TokenizerError, match=named) as caught:
        artifact_of(folder)
    assert f'"{KEPT}"' in str(caught.value.hint)
    follow(folder, str(caught.value.hint))
    assert ids_of(read(folder)) == forms.ids_by(stored)


def test_a_listed_token_with_an_id_that_transformers_does_not_give_is_refused(tmp_path: Path) -> None:
    """Transformers leaves no id out, so a list with a gap would move the tokens to other rows."""
    listed = {"[E1]": forms.N_PIECES + 9}
    with pytest.raises(TokenizerError, match=r"\[E1\] is 3009, there 3001"):
        artifact_of(forms.write(tmp_path, forms.rules(), {"tokenizer_class": OURS}, added_tokens=listed))


DECODER = {**OLD_LIST, str(forms.N_PIECES + 9): {**OLD_LIST["0"], "content": "[E1]"}}


@pytest.mark.parametrize(
    ("config", "files", "said"),
    [
        ({"added_tokens_decoder": DECODER}, {}, r"added_tokens_decoder of .* \[E1\] is 3009, there 3001"),
        (
            {"added_tokens_decoder": {"5": {}}},
            {},
            r"has added_tokens_decoder {\"5\": {}}, expected tokens by their ids",
        ),
        ({"unk_token": ""}, {}, "has unk_token '', expected a token"),
        ({"tokenizer_class": 7}, {}, "has tokenizer_class 7, expected a name"),
        ({}, {"added_tokens": {"[E1]": "3001"}}, r"added_tokens\.json has \[E1\] '3001', expected tokens with whole"),
        ({}, {"added_tokens": ["[E1]"]}, r"added_tokens\.json holds a list, expected an object"),
    ],
)
def test_lists_that_contradict_the_vocabulary_are_named(
    tmp_path: Path, config: dict[str, Any], files: dict[str, Any], said: str
) -> None:
    """The file and the value that cannot be right are in the error."""
    with pytest.raises(TokenizerError, match=said):
        artifact_of(forms.write(tmp_path, forms.rules(), config, **files))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (b"x" * 80, "cannot"),
    ],
)
def test_a_vocabulary_that_is_none_is_never_read_as_empty(tmp_path: Path, data: bytes, said: str) -> None:
    """Transformers makes a tokenizer without pieces of an empty file; here it is named."""
    folder = forms.write(tmp_path, None, {"tokenizer_class": OURS})
    (folder / "sentencepiece.bpe.model").write_bytes(data)
    with pytest.raises(TokenizerError, match=rf"sentencepiece\.bpe\.model .*{said}.* a model of SentencePiece"):
        artifact_of(folder)


@pytest.mark.parametrize("length", [1e30, "512", 3, None])
def test_the_longest_text_of_a_tokenizer_plays_no_role(tmp_path: Path, length: object) -> None:
    """`model_max_length` is broken in many folders; the window comes from the model."""
    folder = forms.write(tmp_path, forms.rules(), {"tokenizer_class": OURS, "model_max_length": length})
    assert ids_of(read(folder)) == forms.ids_by(forms.rules())


def test_an_id_past_the_rows_of_the_model_names_its_token(tmp_path: Path) -> None:
    """Without a row for it, a token would be an index past the word embedding."""
    tokenizer = read(forms.write(tmp_path, forms.rules(), {"additional_special_tokens": EXTRA}))
    check_rows(tokenizer, forms.N_PIECES + 3)
    with pytest.raises(TokenizerError, match=r"no row for \[E1\] \(3001\), \[/E1\] \(3002\)"):
        check_rows(tokenizer, forms.N_PIECES + 1)


@pytest.mark.parametrize("stored", ["{broken", "[]", "{}", '{"model": {"type": "Unigram", "vocab": []}}'])
def test_a_broken_file_is_one_plain_error(tmp_path: Path, stored: str) -> None:
    """The error names the folder, in one line, whatever the library raised."""
    folder = forms.write(tmp_path, forms.rules(), {"tokenizer_class": OURS})
    (folder / "tokenizer.json").write_text(stored, encoding="utf-8")
    with pytest.raises(TokenizerError, match=re.escape(str(folder))) as caught:
        artifact_of(folder)
    assert "\n" not in caught.value.message


def test_no_tokenizer_needs_the_network(tmp_path: Path) -> None:
    """Neither an artifact nor a comparison opens a connection."""
    events: list[str] = []
    sys.addaudithook(
        lambda event, _: events.append(event) if event in ("socket.getaddrinfo", "socket.connect") else None
    )
    read(forms.write(tmp_path, E5, {}, config=BERT | {"_name_or_path": "microsoft/Multilingual-MiniLM-L12-H384"}))
    assert not events


def test_json_that_is_nested_too_deep_is_named(tmp_path: Path) -> None:
    """The reader of JSON has a bound, and a file beyond it is no traceback."""
    folder = forms.write(tmp_path, forms.rules(), {"tokenizer_class": OURS})
    (folder / "added_tokens.json").write_text("[" * 200_000)
    with pytest.raises(TokenizerError, match=r"added_tokens\.json cannot be read as JSON: maximum recursion depth"):
        artifact_of(folder)
