"""`/v1/tokenize` and `/v1/detokenize`: tokens of texts, text of ids, and errors that name each bad value."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped] # its stubs are a package of their own
import pytest
import tokenizers
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.http.openapi_document import document
from functions.http.token_requests import detokenize_json, tokenize_json
from functions.tokenizers.load import read_tokenizer
from functions.tokenizers.tokenizer import Tokenizer
from glossa.tokenizer_build.checkpoints import artifact_of
from shared.catalog import Catalog
from shared.errors import GlossaError, Unprocessable
from tests.unit.functions.http.world import ARTIFACT, catalog, make, post, tokenizer
from tests.unit.functions.tokenizers import tiny, tiny_xlm

TEXT, PAIR = "Ньютон lebte <mask> 北京.", "It's a river."
N_IDS = tokenizer().vocab_size


@cache
def reference() -> Any:
    """Load mini's tokenizer with transformers."""
    return transformers.AutoTokenizer.from_pretrained(str(ARTIFACT.parent))


@pytest.fixture(scope="module")
def xlm(tmp_path_factory: pytest.TempPathFactory) -> tuple[Catalog, dict[str, Tokenizer], Any]:
    """Make a catalog of one XLM model with languages, its tokenizer, and the reference's tokenizer."""
    folder: Path = tiny_xlm.write_tokenizer(tmp_path_factory.mktemp("xlm"))
    ours = read_tokenizer(artifact_of(folder))
    langs = {lang: i for i, lang in enumerate(tiny_xlm.LANGS)}
    model = tiny.catalog_model(ours.vocab_size, name="xlm", family="xlm", mask_token=None, mask_id=None, lang2id=langs)
    return Catalog(default_model="xlm", models={"xlm": model}), {"xlm": ours}, tiny_xlm.load_reference(folder)


@pytest.mark.parametrize("special", [True, False, None])
@pytest.mark.parametrize("pair", [None, PAIR])
def test_tokens_equal_the_reference(pair: str | None, *, special: bool | None) -> None:
    """Ids, tokens, special tokens mask, types and offsets are the reference's, for texts and pairs."""
    body = {"inputs": {"text": TEXT, "text_pair": pair}, "add_special_tokens": special}
    (found,) = post(make(), "tokenize", body)[1]["results"]
    kinds = {"return_token_type_ids": True, "return_special_tokens_mask": True, "return_offsets_mapping": True}
    wanted = reference()(TEXT, pair, add_special_tokens=special is not False, **kinds)
    assert found["ids"] == wanted["input_ids"]
    assert found["tokens"] == reference().convert_ids_to_tokens(wanted["input_ids"])
    assert found["special_tokens_mask"] == wanted["special_tokens_mask"]
    assert found["token_type_ids"] == wanted["token_type_ids"]
    assert [tuple(span) for span in found["offsets"]] == wanted["offset_mapping"]
    assert found["count"] == len(wanted["input_ids"])


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize("pair", [None, PAIR])
def test_tokens_of_xlm_equal_the_reference(
    xlm: tuple[Catalog, dict[str, Tokenizer], Any], pair: str | None, *, special: bool
) -> None:
    """An XLM tokenizer gives the second text of a pair its own type."""
    kinds = {"return_token_type_ids": True, "return_special_tokens_mask": True}
    wanted = xlm[2](TEXT, pair, add_special_tokens=special, **kinds)
    body = {"inputs": {"text": TEXT, "text_pair": pair}, "add_special_tokens": special}
    (found,) = tokenize_json(body, *xlm[:2])[0]["results"]
    assert found["ids"] == wanted["input_ids"]
    assert found["special_tokens_mask"] == wanted["special_tokens_mask"]
    assert found["token_type_ids"] == wanted["token_type_ids"]


def test_each_side_of_a_pair_is_read_in_its_language(xlm: tuple[Catalog, dict[str, Tokenizer], Any]) -> None:
    """`lang` names the language of a text, or the two languages of a pair."""
    both = {"text": "l'été", "text_pair": "don't"}
    (found,) = tokenize_json({"inputs": {**both, "lang": ["fr", "en"]}}, *xlm[:2])[0]["results"]
    sides = [tiny_xlm.reference_ids(xlm[2], text, lang) for text, lang in zip(both.values(), ["fr", "en"], strict=True)]
    assert found["ids"] == xlm[2].build_inputs_with_special_tokens(*sides)
    with pytest.raises(Unprocessable, match=r"inputs\[0\].lang: got 'xx', model xlm expects one of de, en, fr"):
        tokenize_json({"inputs": {"text": "a", "lang": "xx"}}, *xlm[:2])
    status, problem, _ = post(make(), "tokenize", {"inputs": {"text": "a", "lang": "fr"}})
    assert (status, "mini expects none" in problem["detail"]) == (422, True)


def test_ids_read_as_text_again() -> None:
    """One list of ids, or several, are decoded as the reference decodes them."""
    ids = reference()(TEXT)["input_ids"]
    status, body, headers = post(make(), "detokenize", {"ids": [ids, ids[:4], []]})
    assert (status, body["model"]) == (200, "mini")
    assert body["results"] == [{"text": reference().decode(some)} for some in (ids, ids[:4], [])]
    assert headers["server-timing"].startswith("tokenize;dur=")
    (found,) = post(make(), "detokenize", {"ids": ids, "skip_special_tokens": True})[1]["results"]
    assert found == {"text": reference().decode(ids, skip_special_tokens=True)}
    assert post(make(), "detokenize", {"ids": []})[1]["results"] == [{"text": ""}]


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("detokenize", {"ids": [3, N_IDS]}, 422, f"ids[1]: got {N_IDS}, expected an id from 0 to {N_IDS - 1}"),
        ("detokenize", {"ids": [[3], [3, -1]]}, 422, "ids[1][1]: got -1, expected an id from 0 to"),
        ("detokenize", {"ids": [3.5]}, 422, "ids[0]: got 3.5, expected an id"),
        ("detokenize", {"ids": [True]}, 422, "ids[0]: got true, expected an id"),
        ("detokenize", {"ids": [[3], 4]}, 422, "ids[0]: got [3], expected an id"),
        ("detokenize", {"ids": "3"}, 422, "ids: got a string, expected a list of ids"),
        ("detokenize", {}, 422, "ids: got nothing, expected a list of ids"),
        ("detokenize", {"ids": [1], "inputs": "a"}, 422, "unknown field 'inputs', expected ids, model,"),
        ("detokenize", {"ids": [1], "skip_special_tokens": 1}, 422, "skip_special_tokens: got 1, expected true or"),
        ("detokenize", {"ids": [1], "model": 3}, 422, "model: got 3"),
        ("detokenize", {"ids": [1], "model": "maxi"}, 404, "no model 'maxi'"),
        ("detokenize", {"ids": [1], "model": "mini:nope"}, 404, "no head 'nope'"),
        ("detokenize", {"ids": [[1]] * 513}, 413, "got 513 lists of ids, at most 512"),
        ("detokenize", {"ids": [1] * 1_000_001}, 413, "got 1000001 ids, at most 1000000"),
        ("detokenize", [1], 400, "got an array as the body"),
        ("tokenize", {"inputs": "a", "add_special_tokens": "no"}, 422, "add_special_tokens: got 'no', expected true"),
        ("tokenize", {"inputs": ""}, 422, "got an empty text"),
        ("tokenize", {"inputs": {"text": "a", "lang": ["en", "fr"]}}, 422, "expected one"),
    ],
)
def test_bad_values_are_named(path: str, body: Any, status: int, words: str) -> None:
    """Each error names the value and what was expected."""
    found, problem, _ = post(make(), path, body)
    assert (found, words in problem["detail"]) == (status, True), problem["detail"]


values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 4) | st.sampled_from([2.5, "", "a", "mini"]),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=6,
)
texts = st.sampled_from(
    ["a", {"text": "a"}, {"text": "a", "text_pair": "b"}, {"text_pair": "b"}, {"text": "a", "x": 1}]
)
bodies = st.fixed_dictionaries({}, optional={
    "ids": values, "inputs": texts | st.lists(texts, max_size=2), "model": st.sampled_from([None, "mini", "", 3]),
    "skip_special_tokens": values, "add_special_tokens": values,
})  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(path=st.sampled_from(["tokenize", "detokenize"]), body=bodies)
def test_the_schema_and_the_parser_agree(path: str, body: dict[str, Any]) -> None:
    """The OpenAPI schema and the parser accept the same bodies, and answers fit the schema."""
    operation = document()["paths"][f"/v1/{path}"]["post"]
    parts = {"components": document()["components"]}
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    fits = jsonschema.Draft202012Validator({**schema, **parts}).is_valid(body)
    parse = tokenize_json if path == "tokenize" else detokenize_json
    try:
        answer, _ = parse(body, catalog(), dict.fromkeys(catalog().models, tokenizer()))
    except GlossaError:
        assert not fits
    else:
        assert fits
        answer_schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        jsonschema.validate(answer, {**answer_schema, **parts})


def test_what_is_too_large_does_not_name_batch_jobs() -> None:
    """No batch job makes tokens, so the hint of a 413 says to send more requests."""
    for path, body in (
        ("tokenize", {"inputs": ["a"] * 513}),
        ("tokenize", {"inputs": "word " * 180_000}),
        ("detokenize", {"ids": [[1]] * 513}),
    ):
        status, problem, _ = post(make(), path, body)
        assert (status, problem["hint"]) == (413, "send less in one request, and the rest in others")


def test_tokens_of_texts_and_pairs() -> None:
    """Ids, tokens, offsets and special tokens mask have one entry for each token. Offsets are places in the text."""
    text = "Ньютон lebte in 北京."
    status, body, headers = post(make(), "tokenize", {"inputs": [text, {"text": "a", "text_pair": "b"}]})
    single, pair = body["results"]
    reference = tokenizers.Tokenizer.from_file(str(ARTIFACT))
    assert (status, body["model"]) == (200, "mini")
    assert single["ids"] == reference.encode(text).ids
    assert pair["ids"] == reference.encode("a", "b").ids
    assert single["tokens"][0] == "<s>"
    assert single["special_tokens_mask"] == [1, *[0] * (single["count"] - 2), 1]
    assert len(single["tokens"]) == len(single["offsets"]) == single["count"]
    assert {i for start, end in single["offsets"] for i in range(start, end)} >= {
        i for i, c in enumerate(text) if c > " "
    }
    assert headers["server-timing"].startswith("tokenize;dur=")


@pytest.mark.parametrize(("n_words", "n_windows"), [(1, 1), (30, 1), (31, 2), (90, 3)])
def test_tokenize_counts_windows(n_words: int, n_windows: int) -> None:
    """`n_windows` counts what the model would read. `count` counts the tokens of the whole text."""
    (found,) = post(make(), "tokenize", {"inputs": "a " * n_words})[1]["results"]
    assert (found["count"], found["n_windows"]) == (n_words + 2, n_windows)


def test_a_pair_that_fits_no_window_has_no_count_of_windows() -> None:
    """A pair that a task would refuse still gets its tokens."""
    (found,) = post(make(), "tokenize", {"inputs": {"text": "a " * 50, "text_pair": "b " * 50}})[1]["results"]
    assert found["n_windows"] is None
    assert found["count"] == 104
