"""The formats of parts: each gives the same rows back, and its bytes depend on the rows alone."""

from __future__ import annotations

import csv
import gzip
import io
from typing import Any, get_args

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from functions.jobs.records.formats import Output, Problem
from functions.jobs.records.part_files import CELLS, CONTENT_TYPES, decode
from functions.jobs.records.records import Record
from functions.jobs.records.result_rows import Answer, encode_given_up, encode_rows
from tests.unit.functions.jobs.records.test_result_rows import SOURCE
from tests.unit.functions.jobs.world import World

OUTPUTS: tuple[Output, ...] = get_args(Output)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
VALUE = st.lists(st.fixed_dictionaries({"label": TEXT, "score": st.floats(0, 1)}), max_size=2) | TEXT | st.integers()


@pytest.mark.parametrize("output", OUTPUTS)
@settings(deadline=None)
@given(values=st.lists(VALUE | st.none(), min_size=1, max_size=6), name=TEXT.filter(bool), size=st.integers(1, 50))
@example(values=[None, "\r"], name="\r", size=1)
def test_rows_come_out_as_they_went_in(output: Output, values: list[Any], name: str, size: int) -> None:
    """Answers and errors with any text, read in chunks of any size, equal those in JSON lines."""
    records = [Record(i, i, i + 1, "a", id=name) for i in range(len(values))]
    outcomes = {i: Problem("c", f"got {name}") if v is None else Answer(v, 1, 5) for i, v in enumerate(values)}
    plain = encode_rows(SOURCE, records, outcomes)
    made = encode_rows(SOURCE, records, outcomes, output)
    assert (made.n_ok, made.n_failed) == (plain.n_ok, plain.n_failed)
    chunks = [made.data[at : at + size] for at in range(0, len(made.data), size)]
    for found, expected in zip(decode(chunks, output), decode([plain.data], "jsonl"), strict=True):
        if output == "csv":
            source: Any = expected["source"]
            expected["source"] = {"key": source["key"], "number": source["line"]}
        assert found == expected


def test_a_table_shows_the_best_label() -> None:
    """The header of CSV names the cells. Label and score of the first result have cells of their own."""
    best = [{"label": "ü, or", "score": 0.75}, {"label": "b", "score": 0.25}]
    data = encode_rows(SOURCE, [Record(0, 0, 3, "a", id=7)], {0: Answer(best)}, "csv").data
    [row] = csv.DictReader(io.StringIO(data.decode()))
    assert tuple(row) == CELLS
    assert (row["id"], row["label"], row["score"], row["error_code"]) == ("7", "ü, or", "0.75", "")


def test_packed_rows_hold_no_time() -> None:
    """Two attempts at a shard write the same bytes at any time."""
    data = encode_given_up(SOURCE, 1, Problem("c", "d"), "jsonl.gz").data
    assert data[4:8] == bytes(4)
    assert gzip.decompress(data) == encode_given_up(SOURCE, 1, Problem("c", "d")).data


@pytest.mark.parametrize("output", OUTPUTS)
def test_a_job_writes_the_form_it_was_asked_for(output: Output) -> None:
    """Keys of parts end in the format's name, manifest and results name it, and given-up shards use it too."""
    world = World(max_records=1)
    body = {"task": "text-classification", "output": output, "files": ["in.csv"]}
    _, made = world.ask("POST", "/v1/jobs", body)
    world.objects.put("input", made["uploads"][0]["fields"]["key"], b"text\na\n\nb\n")
    world.ask("POST", made["start"])
    world.run()
    _, results = world.ask("GET", f"/v1/jobs/{made['job']}/results")
    assert results["output"] == world.manifest(made["job"])["output"] == output
    rows = [row for part in results["parts"] for row in decode([world.output(part["key"])], output)]
    assert ["result" in row for row in rows] == [True, False, True]
    assert [part["key"].endswith(f".{output}") for part in results["parts"]] == [True] * 3
    assert set(CONTENT_TYPES) == set(OUTPUTS)
    assert world.ask("POST", "/v1/jobs", body | {"output": "xml"})[0] == 422
