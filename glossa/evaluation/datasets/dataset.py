"""What a data set is, and how its files become the examples of each language.

Must not know any one data set, models or metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from glossa.evaluation.examples import Example, LanguageData
from glossa.evaluation.readers.conll import Words
from glossa.evaluation.readers.files import Found, find
from shared.errors import Unprocessable

Kind = Literal["labels", "entities", "squad", "mlqa", "choices", "retrieval", "similarity"]
Pairs = Iterable[tuple[str, Example]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which part of a data set is read: its folder, the split, the languages (none: all), and how words are joined."""

    folder: Path
    split: str
    langs: Sequence[str] = ()
    words: Words = "spaced"


@dataclass(frozen=True, slots=True)
class Dataset:
    """One data set.

    `patterns` find its files below a folder (`readers/files.py`), `files` names them for people. `read(found, wanted)`
    yields language and example from one file. `kind` says what is asked and measured; `metrics` are shown, the main one
    first. `labels` are all that rows may have, as heads name them; `aliases` are other names that a head may have for a
    label. `usual(found)` says whether a file is read when no language is asked for.
    """

    name: str
    title: str
    kind: Kind
    metrics: tuple[str, ...]
    files: str
    patterns: tuple[str, ...]
    read: Callable[[Found, Wanted], Pairs]
    source: str
    licence: str
    labels: tuple[str, ...] = ()
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    lang_of: Callable[[Found], str] = lambda found: found.lang
    usual: Callable[[Found], bool] = lambda _: True

    @property
    def has_splits(self) -> bool:
        """Whether the paths of its files say a split."""
        return any("(?P<split>" in pattern for pattern in self.patterns)


def read_languages(dataset: Dataset, wanted: Wanted) -> list[LanguageData]:
    """Return the examples of each language that is wanted, in the order of their names.

    Raises Unprocessable when there are no files, two files of one language, an ill-formed line, or no such language.
    """
    files = find(wanted.folder, dataset.patterns, wanted.split)
    _check_single(dataset, files)
    examples: dict[str, list[Example]] = {}
    known: set[str] = set()
    for found in files:
        lang = dataset.lang_of(found)
        known.add(lang)
        if lang in wanted.langs or not lang or (not wanted.langs and dataset.usual(found)):
            for of_lang, example in dataset.read(found, wanted):
                examples.setdefault(of_lang, []).append(example)
    known = {*known, *examples} - {""}
    if missing := [lang for lang in wanted.langs if lang not in known]:
        raise Unprocessable(f"got --lang {missing[0]}, expected one of {', '.join(sorted(known))}")
    chosen = {lang: found for lang, found in examples.items() if not wanted.langs or lang in wanted.langs}
    if not chosen:
        raise Unprocessable(f"got no examples in {files[0].path}, expected at least one")
    return [LanguageData(lang, tuple(chosen[lang])) for lang in sorted(chosen)]


def _check_single(dataset: Dataset, files: Sequence[Found]) -> None:
    first: dict[str, Path] = {}
    for found in files:
        before = first.setdefault(dataset.lang_of(found), found.path)
        if before != found.path:
            named = f"got {before} and {found.path}, expected one file for {dataset.lang_of(found) or 'all languages'}"
            raise Unprocessable(named, hint="give --data the folder of one of them")
