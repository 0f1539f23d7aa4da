"""The catalog: what it accepts, what it refuses by name, and how heads are found."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.catalog import Catalog, load_catalog, parse_catalog, split_reference
from shared.errors import NotFound, Unprocessable
from tests.unit.shared.protocol.strategies import quick

HEADER = 'default_model = "mini"\n'
MODEL = f"""
[models.mini]
family = "xlm-roberta"
checkpoint = "checkpoints/mini"
weights_sha256 = "{"a" * 64}"
tokenizer_sha256 = "{"b" * 64}"
max_tokens = 512
vocab_size = 32000
"""
HEADS = """
[models.mini.heads.topic]
task = "text-classification"
prefix = "heads.topic"
labels = ["art", "sport"]
default = true

[models.mini.heads.sentiment]
task = "text-classification"
prefix = "heads.sentiment"
labels = ["negative", "positive"]

[models.mini.heads.mask]
task = "fill-mask"
prefix = "lm_head"
"""


def catalog() -> Catalog:
    """Return the catalog of the texts above."""
    return parse_catalog(HEADER + MODEL + HEADS)


def test_a_catalog_reads_with_defaults() -> None:
    """Names come from the tables. Keys that are left out have defaults."""
    model = catalog().model("mini")
    assert model.name == "mini"
    assert model.heads["topic"].labels == ("art", "sport")
    assert (model.size_class, model.dtype, model.token_budget, model.replicas.max) == ("base", "float32", 4096, 1)
    assert model.tasks == {"text-classification", "fill-mask"}


def test_a_catalog_file_is_read_as_utf8(tmp_path: Path) -> None:
    """Labels may be in any script."""
    path = tmp_path / "catalog.toml"
    path.write_text((HEADER + MODEL + HEADS).replace('"art"', '"искусство"'), encoding="utf-8")
    assert load_catalog(path).model("mini").heads["topic"].labels[0] == "искусство"


REFUSED = [
    ("unknown key", HEADER + "colour = 1\n" + MODEL + HEADS, "colour"),
    ("unknown model key", HEADER + MODEL + "gpu = 1\n" + HEADS, "models.mini.gpu"),
    ("unknown head key", HEADER + MODEL + HEADS + "activation = 1\n", "models.mini.heads.mask.activation"),
    ("unknown task", HEADER + MODEL + HEADS.replace("fill-mask", "sing"), "models.mini.heads.mask.task"),
    ("unknown family", HEADER + MODEL.replace("xlm-roberta", "gpt2") + HEADS, "models.mini.family"),
    ("two defaults", HEADER + MODEL + HEADS.replace('"heads.sentiment"', '"s"\ndefault = true'), "more than one"),
    ("name", HEADER + (MODEL + HEADS).replace("models.mini", 'models."Mini Me"'), "name"),
    ("name of dots", HEADER + (MODEL + HEADS).replace("models.mini", 'models."..x"'), "name"),
    ("hash", HEADER + MODEL.replace("a" * 64, "a" * 63) + HEADS, "models.mini.weights_sha256"),
    ("limit", HEADER + MODEL.replace("= 512", "= 0") + HEADS, "models.mini.max_tokens"),
    ("missing", HEADER + MODEL.replace("vocab_size = 32000", "") + HEADS, "models.mini.vocab_size"),
    ("no heads", HEADER + MODEL, "models.mini.heads"),
    ("no default model", MODEL + HEADS, "default_model"),
    ("foreign default", HEADER.replace("mini", "max") + MODEL + HEADS, "default_model 'max' is not one of ['mini']"),
    ("no models", HEADER, "models: got nothing, expected a value"),
    ("models a list", HEADER + "models = [1]\n", "models"),
    ("models a number", HEADER + "models = 1\n", "models"),
    ("model a number", HEADER + "[models]\nmini = 1\n", "models"),
    ("not toml", "default_model = \n", "at line 1"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "words"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_a_wrong_catalog_stops_the_start_and_says_where(text: str, words: str) -> None:
    """The error is a ValueError with the path of the key."""
    with pytest.raises(ValueError, match=re.escape(words)):
        parse_catalog(text)


TAGGER = HEADER + MODEL + '[models.mini.heads.tags]\ntask = "token-classification"\n'
EMBED = HEADER + MODEL + '[models.mini.heads.embed]\ntask = "feature-extraction"\n'
STRANGE_FACTS = [
    (TAGGER + 'pooling = "cls"\n', "heads.tags: got pooling cls for token-classification"),
    (TAGGER + "normalize = true\n", "got normalize, prompts or dimensions for token-classification"),
    (EMBED + 'activation = "sigmoid"\n', "got activation for feature-extraction"),
    (EMBED + 'default_prompt = "q"\nprompts = {p = "p: "}\n', "got default_prompt 'q', expected one of ['p']"),
    (EMBED + 'pooling = "last"\n', "pooling: got 'last', expected "),
]


@pytest.mark.parametrize(("text", "words"), STRANGE_FACTS)
def test_a_head_declares_only_what_its_task_reads(text: str, words: str) -> None:
    """Pooling, prompts and activation are refused where nothing would read them."""
    with pytest.raises(ValueError, match=re.escape(words)):
        parse_catalog(text)


def test_heads_are_found_by_task_or_name() -> None:
    """Without a name the default head answers, or the only head of the task."""
    model = catalog().model("mini")
    assert model.head_for("text-classification", None) == "topic"
    assert model.head_for("text-classification", "sentiment") == "sentiment"
    assert model.head_for("fill-mask", None) == "mask"


def test_what_a_model_cannot_do_is_an_error() -> None:
    """An unknown name is a 404. A known head of another task is a 422."""
    model = catalog().model("mini")
    with pytest.raises(NotFound, match="no head 'x'; heads:"):
        model.head_for("fill-mask", "x")
    with pytest.raises(Unprocessable, match="does text-classification, not fill-mask; try one of"):
        model.head_for("fill-mask", "topic")
    with pytest.raises(Unprocessable, match="has no head for feature-extraction"):
        model.head_for("feature-extraction", None)
    with pytest.raises(NotFound, match="no model 'x'; models:"):
        catalog().model("x")
    for refuse in (catalog().model, lambda name: model.head_for("fill-mask", name)):
        with pytest.raises(NotFound) as refused:
            refuse("x" * 100_000)
        assert len(refused.value.message) < 300  # it quotes only the beginning of the name


@quick
@given(st.text(alphabet="abc.-", max_size=5), st.text(min_size=1, max_size=5))
def test_a_reference_is_name_and_head(name: str, head: str) -> None:
    """`model:head` is split at the first colon. Without a colon there is no head."""
    assert split_reference(f"{name}:{head}") == (name, head)
    assert split_reference(name) == (name, None)


def test_a_colon_needs_a_head() -> None:
    """An empty head is refused, and does not mean the default head."""
    with pytest.raises(Unprocessable, match="got 'mini:', expected"):
        split_reference("mini:")


def test_the_old_name_of_the_size_class_is_read_with_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    """The key `lane` still names the size class. The warning goes to standard error, so that no answer holds it."""
    assert parse_catalog(HEADER + MODEL + 'lane = "large"\n' + HEADS).model("mini").size_class == "large"
    printed = capsys.readouterr()
    assert printed.out == ""
    assert json.loads(printed.err)["event"] == "catalog-key-renamed"


def test_the_size_class_has_one_name_at_a_time() -> None:
    """A model with both keys is refused: nobody could tell which one counts."""
    with pytest.raises(ValueError, match="got lane and size_class, expected size_class alone"):
        parse_catalog(HEADER + MODEL + 'lane = "large"\nsize_class = "xl"\n' + HEADS)


def test_a_catalog_that_is_nested_too_deep_is_refused() -> None:
    """Brackets without end are a ValueError, like all else that is no catalog."""
    with pytest.raises(ValueError, match="nested too deep"):
        parse_catalog("a = " + "[" * 100_000)


@pytest.mark.parametrize(("line", "ids"), [("", set()), ("eos_id = 2", {2}), ("eos_id = [2, 9]", {2, 9})])
def test_one_or_several_ids_end_a_text(line: str, ids: set[int]) -> None:
    """A catalog has one end-of-sequence id, several, or none."""
    assert parse_catalog(f"{HEADER}{MODEL}{line}\n{HEADS}").model("mini").eos_ids == ids


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("tokens_per_s = inf", "tokens_per_s: got Infinity, expected a finite number"),
        ("replicas = {num_cpus = inf}", "num_cpus: got Infinity, expected a finite number"),
        ("replicas = {num_gpus = 1e308}", "num_gpus: got 1e\\+308, expected less than or equal to 64"),
        ("replicas = {max = 1_000_000_000}", "max: got 1000000000, expected less than or equal to 200"),
    ],
)
def test_a_number_that_no_cluster_can_have_is_refused(line: str, said: str) -> None:
    """Such a number would end the deployment in an overflow, or keep it counting for ever."""
    with pytest.raises(ValueError, match=said):
        parse_catalog(f"{HEADER}{MODEL}{line}\n{HEADS}")


def test_a_file_that_is_no_catalog_says_so(tmp_path: Path) -> None:
    """Text that is no TOML, and bytes that are no text, are named as a catalog that cannot be read."""
    path = tmp_path / "catalog.toml"
    for data, said in ((b"a = [", "no TOML"), (b"# \xff", "not UTF-8: invalid start byte at byte 2")):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=f"catalog cannot be read: it is {said}"):
            load_catalog(path)
