"""The formats of parts: each gives the same rows back, and its bytes depend on the rows alone."""

from __future__ import annotations

import csv
import gzip
import io
import json
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from functions.jobs.records.formats import Output, Problem
from functions.jobs.records.part_files import CELLS, CONTENT_TYPES, decode, guarded, unguarded
from functions.jobs.records.records import Record
from functions.jobs.records.result_rows import Answer, encode_given_up, encode_rows
from glossa.client.jobs.rows import without_guards
from tests.unit.functions.jobs.records.test_result_rows import SOURCE
from tests.unit.functions.jobs.world import World

OUTPUTS: tuple[Output, ...] = get_args(Output)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
VALUE = st.lists(st.fixed_dictionaries({"label": TEXT, "score": st.floats(0, 1)}), max_size=2) | TEXT | st.integers()


@pytest.mark.parametrize("output", OUTPUTS)
@settings(deadline=None)
@given(values=st.lists(VALUE | st.none(), min_size=1, max_size=6), name=TEXT.filter(bool), size=st.integers(1, 50))
@example(values=[None, "\r"], name="\r", size=1)
@example(values=[None, [{"label": "=1+1", "score": 0.5}], "'="], name="'=HYPERLINK(1)", size=3)
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


FORMULAS = [
    '=HYPERLINK("http://x")', "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1", " =1", "\u3000=1", "\uff1d1", "\uff0b1",
    "\uff0d1", "\uff201", "\tx", "\rx", "\nx", "'=1", "'",
]  # fmt: skip


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_begins_like_a_formula(text: str) -> None:
    """Ids, labels, errors and keys that a spreadsheet would run get a quote before them. Readers get them back."""
    source = replace(SOURCE, key=text)
    records = [Record(0, 0, 3, "a", id=text), Record(1, 0, 3, "a", id=text), Record(2, 0, 3, "a")]
    outcomes = {0: Answer([{"label": text, "score": 0.5}]), 1: Problem("c", text), 2: Answer(-5)}
    data = encode_rows(source, records, outcomes, "csv").data
    table = list(csv.reader(io.StringIO(data.decode(), newline="")))
    assert table[0] == list(CELLS)  # the names of the columns are ours, and none begins so
    cells = [cell for row in table for cell in row if cell]
    assert [cell for cell in cells if is_formula(cell)] == []
    assert "'" + text in cells
    assert [row.get("id") for row in decode([data], "csv")] == [text, text, None]
    raw = list(csv.reader(io.StringIO(b"".join(without_guards([data])).decode(), newline="")))
    assert [raw[1][1], raw[1][3], raw[1][4], raw[2][11]] == [text] * 4
    plain = encode_rows(source, records, outcomes).data
    assert json.loads(plain.splitlines()[0])["id"] == text


def is_formula(cell: str) -> bool:
    """Whether a spreadsheet may run a cell: what OWASP's page on CSV injection lists, also after white space."""
    return cell.lstrip().startswith(tuple("=+-@\uff1d\uff0b\uff0d\uff20")) or cell[0] in "\t\r\n"


@settings(deadline=None)
@given(st.text() | st.sampled_from(FORMULAS))
def test_a_guard_can_always_be_taken_off(text: str) -> None:
    """Every text comes back as it was, also one that has a quote of its own. Numbers get no guard."""
    cell = guarded(text)
    assert isinstance(cell, str)
    assert unguarded(cell) == text
    assert (cell == "") or not is_formula(cell)
    assert [guarded(-1), guarded(-0.5)] == [-1, -0.5]


@pytest.mark.parametrize("hidden", ["\0", "\u200b", "\ufeff", "\u2060", "\xad", "\x1b", " \u200b "])
def test_characters_that_nobody_sees_hide_no_formula(hidden: str) -> None:
    """A spreadsheet may drop them, and then run what follows."""
    assert guarded(f"{hidden}=1+1") == f"'{hidden}=1+1"
    assert guarded(f"{hidden}a") == f"{hidden}a"


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
