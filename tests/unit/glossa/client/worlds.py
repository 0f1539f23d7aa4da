"""A model for batch jobs that answers with labels, as text classification does."""

from __future__ import annotations

from collections.abc import Mapping

from functions.messages import Result
from functions.tasks.task import TextRequest
from shared.errors import GlossaError
from tests.unit.functions.jobs.world import Echo


class Labels(Echo):
    """Answers each text with a label: the text itself."""

    def __call__(self, request: TextRequest) -> tuple[Result, Mapping[int, GlossaError]]:
        """Answer a request."""
        found, errors = super().__call__(request)
        values = tuple([{"label": each.text, "score": 0.5}] for each in request.inputs)
        return Result(values, found.model, found.head, found.n_windows, found.truncated, found.n_tokens), errors
