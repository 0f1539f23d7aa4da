"""What an error row says of its record."""

from __future__ import annotations

from collections.abc import Mapping

from functions.batch.formats import FormatOptions, Problem
from functions.batch.items import Spec
from functions.batch.records import Record
from functions.work.answering import answer_all
from shared.errors import GlossaError, Unprocessable
from shared.messages import Result, TextRequest


def test_an_error_row_speaks_of_its_record_not_of_a_place_in_a_call() -> None:
    """Where a desk names an input by its place in the call, which the caller never saw, the row says record."""

    def respond(request: TextRequest) -> tuple[Result, Mapping[int, GlossaError]]:
        if len(request.inputs) == 1:
            raise Unprocessable("inputs[0]: got 65 masks, expected at most 64")
        nothing = Result((), "mini", "mlm", (), (), ())
        return nothing, {i: Unprocessable(f"inputs[{i}]: got no mask, expected one") for i in (0, 1)}

    def details(*records: Record) -> list[str]:
        spec = Spec("fill-mask", "mini:mlm", {}, FormatOptions())
        found = answer_all(records, spec, reference="mini:mlm", tenant="local", deadline_s=1.0, respond=respond)
        return [problem.detail for problem in found.values() if isinstance(problem, Problem)]

    assert details(Record(0, 0, 5, "a"), Record(1, 5, 9, "b")) == ["record: got no mask, expected one"] * 2
    assert details(Record(0, 0, 5, "a")) == ["record: got 65 masks, expected at most 64"]
