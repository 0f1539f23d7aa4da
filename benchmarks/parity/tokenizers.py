"""Token ids of our tokenizers against the reference's, on hostile strings and on real text.

Mini's tokenizer.json against `AutoTokenizer`, and an XLM tokenizer learnt from the committed sample against
`XLMTokenizer`, in each language that its segmenters know. Japanese is S where its segmenter is not installed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import transformers

from benchmarks.parity.company import ROOT, model, read_texts
from benchmarks.parity.table import Line, attempt, skipped, within
from functions.pipeline.tokenize import load_tokenizer
from functions.pipeline.tokenize.load import read_tokenizer
from functions.pipeline.tokenize.xlm.segmenters import japanese
from functions.pipeline.tokenize.xlm.tokenizer import XlmTokenizer
from glossa.checkpoints import artifact_of
from shared.errors import GlossaError
from tests.unit.functions.pipeline import tiny_xlm
from tests.unit.functions.pipeline.hostile import AWKWARD, BLOCKS

XLM_LANGS = (None, "en", "zh", "th", "ro", "fr", "ru")
N_XLM_TEXTS = 600
Ids = Callable[[str], Sequence[int]]


def lines(data: Path | None) -> Iterator[Line]:
    """Judge ids text by text: the distance is how many texts have other ids, the bound is none."""
    real = list(read_texts(data))
    hostile = [*AWKWARD, *BLOCKS]
    for name, texts in (("hostile strings", hostile), ("real texts", real)):
        what = f"ids of {model().name}, {len(texts)} {name}"
        yield attempt(what, "-", partial(_mini, what, texts))
    for lang in XLM_LANGS:
        texts = [*hostile, *islice(real, N_XLM_TEXTS)]
        what = f"ids of XLM, lang {lang}, {len(texts)} texts"
        yield attempt(what, "-", partial(_xlm, what, lang, texts))
    yield _japanese(hostile)


def _japanese(texts: Sequence[str]) -> Line:
    what = f"ids of XLM, lang ja, {len(texts)} texts"
    try:
        japanese()
    except GlossaError as error:
        return skipped(what, "-", str(error))
    return attempt(what, "-", partial(_xlm, what, "ja", texts))


def _mini(what: str, texts: Sequence[str]) -> Line:
    folder = ROOT / model().checkpoint
    ours, theirs = load_tokenizer(folder / "tokenizer.json"), transformers.AutoTokenizer.from_pretrained(folder)
    return _count(what, texts, lambda text: ours.encode(text).ids, lambda text: _plain(theirs, text))


def _plain(reference: transformers.PreTrainedTokenizerBase, text: str) -> list[int]:
    return list(reference(text, add_special_tokens=False)["input_ids"])


def _xlm(what: str, lang: str | None, texts: Sequence[str]) -> Line:
    with tempfile.TemporaryDirectory() as folder:
        tiny_xlm.write_tokenizer(Path(folder))
        ours, reference = read_tokenizer(artifact_of(Path(folder))), tiny_xlm.load_reference(Path(folder))
        if not isinstance(ours, XlmTokenizer):
            raise TypeError(f"got {type(ours).__name__}, expected an XLM tokenizer")
        return _count(
            what, texts, lambda text: ours.encode(text, lang).ids,
            lambda text: tiny_xlm.reference_ids(reference, text, lang),
        )  # fmt: skip


def _count(what: str, texts: Sequence[str], ours: Ids, theirs: Ids) -> Line:
    other = [text for text in texts if list(ours(text)) != list(theirs(text))]
    return within(what, "-", float(len(other)), 0.0, f"first: {other[0][:40]!a}" if other else "")
