"""Parameters of sentence-similarity; knows nothing of models."""

from collections.abc import Sequence
from typing import ClassVar

from functions.tasks.task import InputFields, TextPair, Truncatable
from shared.messages import Pooling, TextInput


class Parameters(Truncatable):
    """Each of an input's sentences gets the cosine of its vector with that of the source sentence.

    `pooling` makes one vector of the tokens', as in feature-extraction. Long text: touching windows.
    """

    input_forms: ClassVar[tuple[InputFields, ...]] = (
        InputFields("source_sentence", texts="sentences"),
        InputFields("text", texts="texts"),
    )
    sends: ClassVar[tuple[str, ...]] = ("pooling",)

    pooling: Pooling = "mean"

    def text_pairs(self, item: TextInput) -> Sequence[TextPair]:
        """Return the source sentence, then each of the others, all alone."""
        langs = [item.lang, *[item.lang_pair or item.lang] * len(item.texts)]
        return [TextPair(text, lang=lang) for text, lang in zip((item.text, *item.texts), langs, strict=True)]
