"""The three desks around a model server, as one function from a request to its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from functions.jobs.steps.work.answer_records import Respond
from functions.messages import Result
from functions.pipeline.pipeline import Pipeline
from functions.tasks.task import TextRequest
from functions.tokenizers.load import load_tokenizers
from shared.catalog import Catalog
from shared.errors import GlossaError
from shared.messages import InferCall, ModelOutput


class Replica(Protocol):
    """The model server as this function needs it: a ReplicaClient, or a FakeReplica."""

    def infer(self, calls: Sequence[InferCall], deadline_s: float, *, request_id: str = "") -> list[ModelOutput]:
        """Answer the calls in order."""
        ...

    def blocked_s(self, model: str) -> float:
        """Return the seconds until a call for this model may pass."""
        ...


def respond_with(catalog: Catalog, artifacts: Path, replica: Replica) -> Respond:
    """Load the tokenizers and put the desks around the server. Raises ValueError, OSError when that fails."""
    pipeline = Pipeline(catalog, load_tokenizers(catalog, artifacts))

    def respond(request: TextRequest) -> tuple[Result, Mapping[int, GlossaError]]:
        return pipeline.run_valid_inputs(request, lambda calls: replica.infer(calls, request.deadline_s))

    return respond
