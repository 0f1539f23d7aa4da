"""The forms that inputs of the tasks take. `lang` is for models that read languages, as XLM's do. Types alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NotRequired, TypeAlias, TypedDict


class TextPair(TypedDict):
    """A text, alone or with a second one."""

    text: str
    text_pair: NotRequired[str]
    lang: NotRequired[str]


class TextWithLanguage(TypedDict):
    """A text and its language."""

    text: str
    lang: NotRequired[str]


class QuestionContext(TypedDict):
    """A question, and the text that it is answered from."""

    question: str
    context: str
    lang: NotRequired[str]


class TextChoices(TypedDict):
    """A text, and what may go with it."""

    text: str
    choices: Sequence[str]
    lang: NotRequired[str]


class QueryDocuments(TypedDict):
    """A query, and the documents that are put in order."""

    query: str
    documents: Sequence[str]
    lang: NotRequired[str]


class SourceSentences(TypedDict):
    """A sentence, and those that it is compared with."""

    source_sentence: str
    sentences: Sequence[str]
    lang: NotRequired[str]


Texts: TypeAlias = str | TextWithLanguage | Sequence[str | TextWithLanguage]
TextPairs: TypeAlias = str | TextPair | Sequence[str | TextPair]
