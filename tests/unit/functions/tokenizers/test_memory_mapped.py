"""The memory-mapped tokenizer gives the ids, spans and word starts of the `tokenizers` library for every text."""

# ruff: noqa: RUF001  # letters that look alike are tested

from __future__ import annotations

import json
import random
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.tokenizers.memory_mapped.file_format import map_file, write
from functions.tokenizers.memory_mapped.kernel import Kernel, kernel_name
from functions.tokenizers.memory_mapped.tokenizer import MemoryMappedTokenizer
from functions.tokenizers.unigram import JsonTokenizer
from glossa.tokenizer_build.kernel import compile_kernels
from glossa.tokenizer_build.prebuilt import prebuild
from tests.data import XLMR_TOKENIZER
from tests.unit.functions.conftest import MINI
from tests.unit.functions.tokenizers.hostile import AWKWARD, BLOCKS, anything, mixed
from tests.unit.functions.tokenizers.test_spans import spaces
from tests.unit.functions.tokenizers.tiny_xlm import SAMPLE

Pair = tuple[MemoryMappedTokenizer, JsonTokenizer]

# code points that join, compose, vanish or grow: there the library replaces clusters and shifts its alignment
JOINTS = [
    *"ae.▁ ªº™©¨½…", "\u0301", "\u0323", "\u200d", "\u200c", "\ufeff", "\u00ad", "\x01", "ﷺ", "ำ", "ก", "가", "\u1100",
    "\u1161", "\u11a8", "🇪", "👩", "क", "\u094d", "\u093c", "\u095c", "\u0600", "\u0344", "\n", "\r", "，", "㍿", "𝐀",
    "<mask>", "</s>", "\u0e4d", "\u05b4", "י", "\ufb1d", "ي", "\u0654", "\u3099", "か",
]  # fmt: skip
joints = st.lists(st.sampled_from(JOINTS), max_size=6).map("".join)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Kernel:
    """Compile and load the kernel for this machine."""
    made = compile_kernels(tmp_path_factory.mktemp("kernels"))
    return Kernel(next(path for path in made if path.name == kernel_name()))


def with_other_scores(artifact: bytes) -> bytes:
    """Return an artifact with equal and nearly equal scores, whose mask token includes the spaces around it."""
    rules = json.loads(artifact)
    draw = random.Random(5)
    close = [-8.0, -8.000000000000002, -7.999999999999999, -4.0, -12.0]
    vocab = rules["model"]["vocab"]
    vocab[4:] = [[piece, draw.choice(close)] for piece, _ in vocab[4:]]
    rules["added_tokens"][-1] |= {"lstrip": True, "rstrip": True}
    return json.dumps(rules).encode()


@pytest.fixture(scope="module", params=["xlmr", "mini", "tiny", "close scores"])
def both(
    request: pytest.FixtureRequest, kernel: Kernel, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Pair:
    """Load one artifact twice: as a prebuilt file, and with the library."""
    folder = {"tiny": tiny_folder, "mini": MINI}.get(request.param, XLMR_TOKENIZER)
    artifact = (folder / "tokenizer.json").read_bytes()
    if request.param == "close scores":
        artifact = with_other_scores(artifact)
    path = tmp_path_factory.mktemp("mapped") / "tokenizer.unigram"
    path.write_bytes(prebuild(artifact, kernel))
    return MemoryMappedTokenizer(path, kernel), JsonTokenizer(artifact)


def assert_equal(both: Pair, text: str) -> None:
    """Check that both tokenizers give equal tokens for a text."""
    ours, library = both
    assert ours.encode(text) == library.encode(text), ascii(text)
    assert ours.ids(text) == library.encode(text).ids


@pytest.mark.parametrize(
    "texts", [AWKWARD, BLOCKS, [text for _, _, text in SAMPLE]], ids=["awkward", "blocks", "languages"]
)
def test_equals_the_library_on_the_samples(both: Pair, texts: list[str]) -> None:
    """The samples are hostile texts, every block of Unicode, and two sentences in 205 languages."""
    for text in texts:
        assert_equal(both, text)


@settings(max_examples=300, deadline=None)
@given(text=joints | anything | mixed)
def test_equals_the_library_on_any_text(both: Pair, text: str) -> None:
    """The texts are arbitrary Unicode, and sequences of code points that join their neighbours."""
    assert_equal(both, text)


@settings(max_examples=150, deadline=None)
@given(word=st.text(alphabet="aeinst", min_size=1, max_size=40))
def test_equals_the_library_where_many_splits_have_equal_scores(both: Pair, word: str) -> None:
    """Words of few letters can often be split in several ways with equal scores. Both choose the same way."""
    assert_equal(both, word)
    assert_equal(both, word * 8)


@pytest.mark.parametrize("both", ["tiny"], indirect=True)
@pytest.mark.parametrize(("before", "after"), [("", "b"), ("", "\u0301 "), ("a", "\u0301 "), ("ª", "b"), ("क", "b")])
def test_every_code_point_beside_others(both: Pair, before: str, after: str) -> None:
    """Each code point of the first two planes is read between letters, marks and characters that are replaced."""
    for start in range(0, 0x20000, 1024):
        chars = [chr(c) for c in range(start, start + 1024) if not 0xD800 <= c < 0xE000]
        known = [char for char in chars if unicodedata.category(char) != "Cn"]
        text = "x " + " ".join(before + char + after for char in known)
        if both[0].encode(text) != both[1].encode(text):
            for char in known:
                assert_equal(both, "x " + before + char + after)


def test_ordinary_text_does_not_need_the_library(both: Pair) -> None:
    """The kernel reads every sentence of the sample. A flag beside a replaced mark is left to the library."""
    texts = [text for _, _, text in SAMPLE]
    assert all(both[0]._kernel.encode(both[0]._model, text.encode()) for text in texts)
    assert both[0]._kernel.encode(both[0]._model, "🇪\u0344a".encode()) is None


def test_facts_equal_the_librarys(both: Pair) -> None:
    """Fingerprint, sizes, layout, pieces and decoded text equal those of the library."""
    ours, library = both
    for fact in ("fingerprint", "vocab_size", "unk_id", "mask_token", "layout"):
        assert getattr(ours, fact) == getattr(library, fact), fact
    ids = range(library.vocab_size)
    pieces = library.pieces(ids)
    assert ours.pieces(ids) == pieces
    assert [ours.id_of(piece) for piece in pieces] == [library.id_of(piece) for piece in pieces]
    assert ours.id_of("no such piece") is ours.id_of("") is None
    for text in [*AWKWARD, "a <mask> b</s>"]:
        found = ours.encode(text).ids
        assert ours.decode(found) == library.decode(found)
        assert ours.decode(found, skip_special=True) == library.decode(found, skip_special=True)
    with pytest.raises(ValueError, match="not below"):
        ours.pieces([library.vocab_size])


def test_words_longer_than_any_kept_buffer(both: Pair) -> None:
    """The buffers grow for a word that becomes eleven times as long when it is normalized."""
    for text in ("ﷺ" * 20_000, "a" * 100_000, " ".join(["<mask>"] * 3000)):
        assert_equal(both, text)


def test_a_file_that_is_no_prebuilt_tokenizer_is_refused(tmp_path: Path) -> None:
    """Other content and a file that is cut short are refused with the file's name."""
    path = tmp_path / "tokenizer.unigram"
    path.write_bytes(b"{}" * 40)
    with pytest.raises(ValueError, match="expected a prebuilt tokenizer"):
        map_file(path)
    path.write_bytes(write({}, {"units": bytes(1000)})[:-500])
    with pytest.raises(ValueError, match="cut short"):
        map_file(path)


@settings(max_examples=200, deadline=None)
@given(text=spaces.filter(lambda text: ">\x1f" not in text and ">\x0b" not in text))
def test_equals_the_library_where_spans_meet_white_space(both: Pair, text: str) -> None:
    """The texts are spaces of all kinds, deleted controls, and words beside special tokens.

    Left out: a deleted control after an added token that takes the spaces after it. There the library's last span may
    lack a character.
    """
    assert_equal(both, text)
