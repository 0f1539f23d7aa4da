"""Word segmenters of the languages that are written without spaces. Their libraries are optional in a deployment.

Must not know punctuation rules or vocabularies.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path

from shared.errors import Unprocessable

Segment = Callable[[str], list[str]]
KYTEA_MODEL = Path("~/local/share/kytea/model.bin")  # the path in the reference
INSTALL_HINT = "build with GLOSSA_SEGMENTERS={lang}, or `pip install {package}` where `glossa` runs"
JAPANESE_HINT = (
    "KyTea and its wrapper Mykytea are built from source: https://github.com/neubig/kytea, then `pip install kytea`; "
    "or split the words yourself and leave out `lang`"
)


@cache
def chinese() -> Segment:
    """Return the segmenter of `zh`, jieba. Raises Unprocessable when it is not installed."""
    try:
        cut = import_module("rjieba").cut
    except ImportError:
        raise _not_installed("zh", "rjieba") from None
    return lambda text: list(cut(text))


@cache
def thai() -> Segment:
    """Return the segmenter of `th`, PyThaiNLP's default. Raises Unprocessable when it is not installed."""
    try:
        word_tokenize = import_module("pythainlp.tokenize").word_tokenize
    except ImportError:
        raise _not_installed("th", "pythainlp") from None
    return lambda text: list(word_tokenize(text))


@cache
def japanese() -> Segment:
    """Return the segmenter of `ja`, KyTea. Raises Unprocessable when it is not installed."""
    try:
        wrapper = import_module("Mykytea").Mykytea
    except (ImportError, AttributeError):
        raise Unprocessable(
            'lang: got "ja", expected a language whose segmenter is installed: KyTea is not', hint=JAPANESE_HINT
        ) from None
    words = wrapper(f"-model {KYTEA_MODEL.expanduser()}")
    return lambda text: list(words.getWS(text))


def _not_installed(lang: str, package: str) -> Unprocessable:
    return Unprocessable(
        f'lang: got "{lang}", expected a language whose segmenter is installed: {package} is not',
        hint=INSTALL_HINT.format(lang=lang, package=package),
    )
