"""Parameters of multiple-choice; knows nothing of models."""

from collections.abc import Sequence
from typing import ClassVar

from functions.tasks.task import Cut, InputFields, TextPair, Truncatable, beside
from shared.messages import TextInput


class Parameters(Truncatable):
    """Each of an input's choices gets the probability that it goes with the text.

    Text and choice must fit in one window, unless `truncation`: then the longer of the two loses its end.
    """

    input_forms: ClassVar[tuple[InputFields, ...]] = (
        InputFields("text", texts="choices"),
        InputFields("prompt", texts="choices"),
    )
    cut: ClassVar[Cut] = "whole"

    def text_pairs(self, item: TextInput) -> Sequence[TextPair]:
        """Return the text beside each choice."""
        return beside(item)
