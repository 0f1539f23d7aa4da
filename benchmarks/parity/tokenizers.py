"""Checks token ids of our tokenizers against those of the reference, on hostile strings and on real text.

The tokenizer of mini, and both kinds of file with the rules of XLM-R, are compared with `AutoTokenizer`, in the
prebuilt form that functions read. XLM tokenizers, learnt from the committed sample with and without lowercasing, are
compared with `XLMTokenizer` in each language that its segmenters know. A folder of texts is read in the language that
it names. Japanese is S where its segmenter is not installed.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import transformers

from benchmarks import ROOT
from benchmarks.parity.batch_mates import model, read_texts
from benchmarks.parity.table import Line, attempt, skipped, within
from benchmarks.parity.texts import Text, texts_under
from functions.tokenizers.load import read_tokenizer
from functions.tokenizers.memory_mapped import file_format
from functions.tokenizers.memory_mapped.kernel import Kernel, kernel_name
from functions.tokenizers.memory_mapped.tokenizer import MemoryMappedTokenizer
from functions.tokenizers.xlm.segmenters import japanese
from glossa.tokenizer_build.checkpoints import artifact_of
from glossa.tokenizer_build.kernel import compile_kernels
from glossa.tokenizer_build.prebuilt import prebuild
from shared.errors import GlossaError
from tests.data import XLMR_TOKENIZER
from tests.unit.functions.tokenizers import tiny_xlm
from tests.unit.functions.tokenizers.hostile import AWKWARD, BLOCKS

SHIPPED = ("tokenizer.json", "tokenizer_config.json")  # what transformers reads of mini's folder
XLMR_FILES = ("tokenizer.json", "sentencepiece.bpe.model")
XLM_LANGS = (None, "en", "zh", "th", "ro", "fr", "ru")
N_XLM_TEXTS = 600
BATCH_TEXTS = 256
SHOWN_CHARS = 40  # of the first text with other ids
Ids = Callable[[Sequence[Text]], list[list[int]]]  # without special tokens
Kind = Callable[[Path], tuple[Ids, Ids]]  # an empty folder -> ours and the reference's


def lines(data: Path | None) -> Iterator[Line]:
    """Judge ids text by text. The distance is how many texts have other ids; the bound is 0."""
    hostile, real = [*AWKWARD, *BLOCKS], list(read_texts(None))
    unigram, kinds = _unigram_kinds(), _kinds()
    for name, kind in unigram.items():
        yield _row(name, kind, f"{len(hostile)} hostile strings", _in_language(hostile))
        yield _row(name, kind, f"{len(real)} real texts", _in_language(real))
    texts = [*hostile, *islice(real, N_XLM_TEXTS)]
    for lang in XLM_LANGS:
        yield _row(
            "XLM lowercase", kinds["XLM lowercase"], f"lang {lang}, {len(texts)} texts", _in_language(texts, lang)
        )
    yield _japanese(kinds["XLM lowercase"], hostile)
    if data is not None:
        yield from (_row(name, kind, f"all of {data.name}/", texts_under(data)) for name, kind in kinds.items())


def _unigram_kinds() -> dict[str, Kind]:
    made: dict[str, Kind] = {model().name: partial(_unigram, ROOT / model().checkpoint, SHIPPED)}
    return made | {f"XLM-R {name}": partial(_unigram, XLMR_TOKENIZER, (name,)) for name in XLMR_FILES}


def _kinds() -> dict[str, Kind]:
    return _unigram_kinds() | {
        "XLM lowercase": partial(_xlm, lowercase=True),
        "XLM as it is": partial(_xlm, lowercase=False),
    }


def _row(name: str, kind: Kind, said: str, texts: Iterable[Text]) -> Line:
    what = f"ids of {name}, {said}"
    return attempt(what, "-", partial(judge_ids, what, kind, texts))


def _japanese(kind: Kind, texts: Sequence[str]) -> Line:
    try:
        japanese()
    except GlossaError as error:
        return skipped(f"ids of XLM lowercase, lang ja, {len(texts)} texts", "-", str(error))
    return _row("XLM lowercase", kind, f"lang ja, {len(texts)} texts", _in_language(texts, "ja"))


def judge_ids(what: str, kind: Kind, texts: Iterable[Text]) -> Line:
    """Read the texts with both tokenizers in batches. Raises ValueError when there are no texts.

    The distance is how many texts have other ids.
    """
    stream, n_texts, n_chars, other = iter(texts), 0, 0, []
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = kind(Path(folder))
        while batch := list(islice(stream, BATCH_TEXTS)):
            n_texts += len(batch)
            n_chars += sum(len(text) for text, _ in batch)
            pairs = zip(batch, ours(batch), theirs(batch), strict=True)
            other += [text for text, mine, wanted in pairs if mine != wanted]
    if not n_texts:
        raise ValueError("got no texts, expected some")
    first = f"; first: {other[0][0][:SHOWN_CHARS]!a} ({other[0][1]})" if other else ""
    return within(what, "-", float(len(other)), 0.0, f"{n_texts} texts, {n_chars} characters{first}")


def _in_language(texts: Iterable[str], lang: str | None = None) -> list[Text]:
    return [(text, lang) for text in texts]


def _unigram(source: Path, names: Iterable[str], folder: Path) -> tuple[Ids, Ids]:
    for name in names:
        shutil.copy(source / name, folder)
    (folder / "config.json").write_text('{"model_type": "xlm-roberta"}', encoding="utf-8")
    reference = transformers.AutoTokenizer.from_pretrained(str(folder))
    return prebuilt(folder, folder), partial(batched, reference)


def _xlm(folder: Path, *, lowercase: bool) -> tuple[Ids, Ids]:
    tiny_xlm.write_tokenizer(folder, lowercase=lowercase)
    return _ours(folder), partial(_one_by_one, tiny_xlm.load_reference(folder))


def _ours(folder: Path) -> Ids:
    tokenizer = read_tokenizer(artifact_of(folder))
    return lambda texts: [list(tokenizer.encode(text, lang).ids) for text, lang in texts]


def prebuilt(checkpoint: Path, folder: Path) -> Ids:
    """Return the ids from the prebuilt form of a checkpoint's artifact, as functions read it. Write it to `folder`."""
    kernel = Kernel(next(path for path in compile_kernels(folder) if path.name == kernel_name()))
    (folder / file_format.NAME).write_bytes(prebuild(artifact_of(checkpoint), kernel))
    tokenizer = MemoryMappedTokenizer(folder / file_format.NAME, kernel)
    return lambda texts: [list(tokenizer.encode(text).ids) for text, _ in texts]


def batched(reference: Any, texts: Sequence[Text]) -> list[list[int]]:
    """Return the ids that a tokenizer of transformers gives, which reads texts in any language alike."""
    return list(reference([text for text, _ in texts], add_special_tokens=False)["input_ids"])


def _one_by_one(reference: Any, texts: Sequence[Text]) -> list[list[int]]:
    return [tiny_xlm.reference_ids(reference, text, lang) for text, lang in texts]
