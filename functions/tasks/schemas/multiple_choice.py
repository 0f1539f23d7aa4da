"""Parameters of multiple-choice; knows nothing of models."""

from collections.abc import Sequence
from typing import ClassVar

from functions.tasks.task import Cut, Cutting, Fields, Reading, beside
from shared.messages import TextInput


class Parameters(Cutting):
    """Each of an input's choices gets the probability that it goes with the text.

    Text and choice must fit in one window, unless `truncation`: then the longer of the two loses its end.
    """

    spellings: ClassVar[tuple[Fields, ...]] = (Fields("text", texts="choices"), Fields("prompt", texts="choices"))
    cut: ClassVar[Cut] = "whole"

    def readings(self, item: TextInput) -> Sequence[Reading]:
        """Return the text beside each choice."""
        return beside(item)
