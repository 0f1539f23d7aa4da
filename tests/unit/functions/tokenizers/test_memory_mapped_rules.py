"""Under every rule that the kernel applies, the memory-mapped tokenizer equals the `tokenizers` library."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from functions.tokenizers.memory_mapped.kernel import Kernel, kernel_name
from functions.tokenizers.memory_mapped.tokenizer import MemoryMappedTokenizer
from functions.tokenizers.unigram import JsonTokenizer
from glossa.tokenizer_build.kernel import compile_kernels
from glossa.tokenizer_build.prebuilt import prebuild
from tests.unit.functions.tokenizers import forms
from tests.unit.functions.tokenizers.forms import HARD, METASPACE, ONE_SPACE, SPLIT, STRIP
from tests.unit.functions.tokenizers.hostile import AWKWARD, BLOCKS, anything, mixed
from tests.unit.functions.tokenizers.test_spans import spaces
from tests.unit.functions.tokenizers.tiny_xlm import SAMPLE

Pair = tuple[MemoryMappedTokenizer, JsonTokenizer]
FIRST, NEVER = METASPACE | {"prepend_scheme": "first"}, METASPACE | {"prepend_scheme": "never"}
RIGHT, LEFT = STRIP | {"strip_left": False}, STRIP | {"strip_right": False}
MARKED = ONE_SPACE | {"content": "\u2581"}
KINDS: dict[str, dict[str, Any]] = {
    "e5": forms.like_e5(),
    "metaspace": forms.rules(pre_tokenizer=METASPACE),
    "converted anew": forms.rules(normalizer=forms.normalizers(after=(RIGHT, MARKED)), pre_tokenizer=METASPACE),
    "strip alone": forms.rules(normalizer=forms.normalizers(after=(STRIP,)), pre_tokenizer=METASPACE),
    "left, first": forms.rules(
        normalizer=forms.normalizers(after=(LEFT, ONE_SPACE)), pre_tokenizer=FIRST, decoder=FIRST
    ),
    "never": forms.rules(normalizer=forms.normalizers(after=(ONE_SPACE,)), pre_tokenizer=NEVER, decoder=NEVER),
    "split, never": forms.rules(pre_tokenizer=forms.split(SPLIT, NEVER), decoder=NEVER),
    "split, strip": forms.rules(normalizer=forms.normalizers(after=(STRIP, ONE_SPACE))),
    "no table": forms.rules(normalizer=ONE_SPACE, pre_tokenizer=METASPACE),
}  # fmt: skip
MADE_ANEW = (" \t\n\x85\u00a0\u2003\u200b\u2581\r", "a", "b.", "  ", "\r\n", "<mask>", "</s>", "世", "e\u0301")
SPACED = " Hello  world \r\n again"
lines = st.lists(st.sampled_from([*MADE_ANEW[0], *MADE_ANEW[1:]]), max_size=14).map("".join)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Kernel:
    """Compile and load the kernel for this machine."""
    made = compile_kernels(tmp_path_factory.mktemp("kernels"))
    return Kernel(next(path for path in made if path.name == kernel_name()))


@pytest.fixture(scope="module", params=KINDS)
def both(request: pytest.FixtureRequest, kernel: Kernel, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Load the tokenizer of one kind of rules twice: as a prebuilt file, and with the library."""
    artifact = json.dumps(KINDS[request.param]).encode()
    path = tmp_path_factory.mktemp("mapped") / "tokenizer.unigram"
    path.write_bytes(prebuild(artifact, kernel))
    return MemoryMappedTokenizer(path, kernel), JsonTokenizer(artifact)


def assert_equal(both: Pair, text: str) -> None:
    """Check that both tokenizers give equal tokens and equal decoded text."""
    ours, library = both
    found = library.encode(text)
    assert ours.encode(text) == found, ascii(text)
    assert ours.ids(text) == found.ids
    assert ours.decode(found.ids) == library.decode(found.ids)


def test_the_samples(both: Pair) -> None:
    """The samples are hostile texts, every block of Unicode, and sentences in 205 languages."""
    for text in (*HARD, *AWKWARD, *BLOCKS, *(text for _, _, text in SAMPLE[::2])):
        assert_equal(both, text)


@settings(max_examples=150, deadline=None)
@given(text=lines | spaces | anything | mixed)
@example(text="a\r\n\r\nb")
@example(text=" a  b   c ")
@example(text="<s>  a</s> b  ")
def test_any_text(both: Pair, text: str) -> None:
    """The texts are arbitrary Unicode, and sequences of spaces, line ends, words and special tokens."""
    assert_equal(both, text)


@pytest.mark.parametrize("both", ["e5", "converted anew"], indirect=True)
def test_ordinary_text_does_not_need_the_library(both: Pair) -> None:
    """The kernel reads every sentence of the sample, with double spaces and line ends too, and trims its spans."""
    for _, _, text in SAMPLE:
        spaced = f" {text.replace(' ', '  ', 3)}\r\n"
        assert both[0]._kernel.encode(both[0]._model, spaced.encode()) is not None
    encoded, may_lack_marks = both[0]._kernel.encode(both[0]._model, SPACED.encode()) or (None, True)
    assert encoded is not None
    assert not may_lack_marks
    assert "".join(SPACED[start:end] for start, end in encoded.offsets) == "Helloworldagain"
