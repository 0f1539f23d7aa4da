"""Records are kept in a file, found again by what they depend on, and summed up in a table."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from functions.messages import TextInput
from glossa.evaluation.examples import Labelled, LanguageData
from glossa.evaluation.heads import Chosen
from glossa.evaluation.measures import MEASURES
from glossa.evaluation.precision import described, in_precision
from glossa.evaluation.results import Record, Summary, read, summary, write
from glossa.evaluation.runner import Run, in_language, measure
from glossa.evaluation.table import print_table
from shared.errors import Unprocessable
from tests.unit.functions.tokenizers.tiny import catalog_model

MODEL = catalog_model(100)
RUN = Run("sib200", "dev", MEASURES["labels"], Chosen(MODEL, "topic", {"B-PER": "x"}), "float32", {})
DATA = [LanguageData(lang, (Labelled(f"{lang} 1", "x"), Labelled(f"{lang} 2", "O"))) for lang in ("aa", "bb")]


class Model:
    """Answers every text with the label B-PER, and counts how often it is loaded and asked."""

    def __init__(self, fails_at: int = 99) -> None:
        """Fail at one of the calls."""
        self.n_loads, self.n_calls, self.fails_at = 0, 0, fails_at

    def load(self) -> Any:
        """Count, and return what answers."""
        self.n_loads += 1
        return self.answer

    def answer(self, inputs: Sequence[TextInput]) -> list[Any]:
        """Answer all inputs."""
        self.n_calls += 1
        if self.n_calls == self.fails_at:
            raise KeyboardInterrupt
        return [[{"label": "B-PER", "score": 1.0}] for _ in inputs]


def run_and_write(path: Path, model: Model, run: Run = RUN, data: Sequence[LanguageData] = DATA) -> Iterator[Record]:
    """Measure, and write after each language."""
    known = read(path)
    for record in measure(run, data, known, model.load):
        known[record.key] = record
        write(path, known)
        yield record


def test_a_run_that_was_stopped_goes_on(tmp_path: Path) -> None:
    """A language that was measured is not measured again; when all are there, no model is loaded."""
    path = tmp_path / "results.json"
    with pytest.raises(KeyboardInterrupt):
        list(run_and_write(path, Model(fails_at=2)))
    assert [record.lang for record in read(path).values()] == ["aa"]
    again, last = Model(), Model()
    records = list(run_and_write(path, again))
    assert (again.n_loads, again.n_calls) == (1, 1)
    assert list(run_and_write(path, last)) == records
    assert last.n_loads == 0
    assert [record.scores["accuracy"] for record in records] == [50.0, 50.0]


def test_what_has_changed_is_measured_again(tmp_path: Path) -> None:
    """Other weights, another precision, other parameters, other examples; the records of before stay."""
    path = tmp_path / "results.json"
    list(run_and_write(path, Model()))
    weights = replace(RUN.chosen, model=MODEL.model_copy(update={"weights_sha256": "1" * 64}))
    precise = replace(RUN.chosen, model=in_precision(MODEL, "bfloat16"))
    changed = [
        replace(RUN, chosen=weights),
        replace(RUN, chosen=precise),
        replace(RUN, parameters={"truncation": True}),
    ]
    for run in changed:
        model = Model()
        list(run_and_write(path, model, run))
        assert model.n_calls == len(DATA)
    model = Model()
    list(run_and_write(path, model, data=[replace(DATA[0], examples=DATA[0].examples[:1]), DATA[1]]))
    assert (model.n_calls, len(read(path))) == (1, 9)


def test_languages_that_are_added_measure_no_other_again() -> None:
    """Labels that head and data name alike are not part of a key: of `sib200-language` each language adds one."""
    few = replace(RUN, chosen=replace(RUN.chosen, gold={"B-PER": "x", "O": "O"}))
    assert few.model_digest == RUN.model_digest
    other = replace(RUN, chosen=replace(RUN.chosen, gold={"B-PER": "y"}))
    assert other.model_digest != RUN.model_digest


def test_models_that_read_languages_are_told_which() -> None:
    """A language that the model does not know, and the vectors of pairs, are asked without one."""
    model = MODEL.model_copy(update={"lang2id": {"de": 3}})
    run = replace(RUN, chosen=replace(RUN.chosen, model=model))
    assert in_language([TextInput("a")], run, "de") == [TextInput("a", lang="de")]
    assert in_language([TextInput("a")], run, "fr") == [TextInput("a")]
    vectors = replace(run, measure=MEASURES["retrieval"])
    assert in_language([TextInput("a")], vectors, "de") == [TextInput("a")]


def test_parameters_that_change_the_form_of_answers_are_refused() -> None:
    """And those that the task does not have."""
    with pytest.raises(ValueError, match="got --param top_k, expected none of aggregation_strategy"):
        replace(RUN, parameters={"top_k": 3})
    with pytest.raises(Unprocessable, match="unknown parameter"):
        replace(RUN, parameters={"topk": 3})


def test_another_file_is_not_written_over(tmp_path: Path) -> None:
    """A file that holds no results is refused, and left as it is."""
    path = tmp_path / "notes.json"
    [first, *_] = run_and_write(tmp_path / "results.json", Model())
    wrong = json.dumps({"version": 1, "records": [{**asdict(first), "model_digest": 1}]})
    for text in ("[]", "{", '{"version": 2}', '{"version": 1, "records": [{}]}', wrong):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match="which holds no results"):
            read(path)
    with pytest.raises(ValueError, match="expected a file in a folder that is there"):
        read(tmp_path / "none" / "results.json")
    with pytest.raises(ValueError, match="expected a file that can be written"):
        read(tmp_path)


def test_precisions_are_those_of_a_catalog() -> None:
    """A dtype takes away what was quantized; int8 is the one of CPUs."""
    int8 = in_precision(MODEL, "int8")
    assert (int8.quantization, int8.dtype, described(int8)) == ("onednn-int8", "bfloat16", "onednn-int8")
    assert in_precision(int8, "float32") == in_precision(MODEL, "catalog") == MODEL
    with pytest.raises(ValueError, match="got compute type 'int7', expected one of catalog, float32"):
        in_precision(MODEL, "int7")


def test_languages_are_summed_up_with_their_spread() -> None:
    """The deviation is that of a sample; one language has none."""
    assert summary([1.0, 2.0, 6.0]) == Summary(3.0, pytest.approx(7.0**0.5), 1.0, 6.0)
    assert summary([4.0]) == Summary(4.0, 0.0, 4.0, 4.0)


def test_the_table_shows_what_a_precision_costs() -> None:
    """One row for each language, both precisions, their difference, the baseline, then mean and spread."""
    first = list(measure(RUN, DATA, {}, Model().load))
    second = [replace(record, compute_type="int8", scores={"accuracy": 40.0, "macro_f1": 1.0}) for record in first]
    out = io.StringIO()
    print_table([first, second], ("accuracy",), out)
    rows = [line.split() for line in out.getvalue().splitlines()]
    assert rows[1] == ["aa", "2", "50.0", "40.0", "-10.0", "50.0"]
    assert "ACCURACY int8 - float32" in out.getvalue()
    assert rows[3:] == [
        ["=", name, "of", "2", *figures]
        for name, figures in [
            ("mean", ["50.0", "40.0", "-10.0", "50.0"]),
            ("std", ["0.0", "0.0", "0.0", "0.0"]),
            ("lowest", ["50.0", "40.0", "-10.0", "50.0"]),
            ("highest", ["50.0", "40.0", "-10.0", "50.0"]),
        ]
    ]
