"""`glossa run` answers every line in order, in one process, with models that were added before."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import transformers

from glossa.cli import main
from glossa.commands.answers.run import LineRequest, run
from glossa.commands.arguments import read_parameters
from serve.checkpoints.files import CheckpointError
from shared.catalog import load_catalog
from shared.errors import NotFound, Unprocessable
from tests.unit.functions.tokenizers import tiny

ROOT = Path(__file__).parents[5]


def ask(catalog_path: Path, job: LineRequest, *lines: bytes) -> tuple[int, list[Any]]:
    """Run one job over lines; return the exit code and the values."""
    out = io.BytesIO()
    stream = io.BytesIO(b"".join(line + b"\n" for line in lines))
    code = run(load_catalog(catalog_path), catalog_path.parent, job, stream, out.write)
    return code, [json.loads(line) for line in out.getvalue().splitlines()]


def test_two_added_checkpoints_are_served_in_one_process(catalog_path: Path) -> None:
    """A sequence classifier and a token classifier answer as the pipelines of transformers do."""
    texts = tiny.SENTENCES[:3]
    lines = [text.encode() for text in texts]
    folder = catalog_path.parent / "models"
    code, moods = ask(catalog_path, LineRequest("text-classification", "moods", {}), *lines)
    pipeline = transformers.pipeline("text-classification", model=str(folder / "moods"), device="cpu", truncation=True)
    theirs = pipeline(texts)
    assert code == 0
    long = [len(pipeline.tokenizer(text)["input_ids"]) >= tiny.MAX_TOKENS for text in texts]
    for mine, other, cut in zip(moods, theirs, long, strict=True):
        assert cut or mine["label"] == other["label"]
        assert cut or mine["score"] == pytest.approx(other["score"], abs=1e-4)
    assert not all(long)
    code, people = ask(catalog_path, LineRequest("token-classification", "people", {}), lines[0], b"a b")
    named = transformers.pipeline("token-classification", model=str(folder / "people"), device="cpu")
    expected = named("a b", aggregation_strategy="simple")
    assert code == 0
    assert [entity["word"] for entity in people[1]] == [entity["word"] for entity in expected]
    assert [entity["score"] for entity in people[1]] == pytest.approx([e["score"] for e in expected], abs=1e-4)


def test_a_bad_line_is_an_error_line_and_the_others_are_answered(catalog_path: Path) -> None:
    """Each error is a line with its number and code; the exit code 1 tells that there were some."""
    code, values = ask(
        catalog_path, LineRequest("text-classification", None, {}), b"a", b"", b"\xff", "\u200b".encode(), b"b"
    )
    assert code == 1
    assert [value.get("line") for value in values] == [None, 2, 3, 4, None]
    assert [value.get("code") for value in values[1:4]] == ["unprocessable", "bad-request", "unprocessable"]
    assert values[3]["error"] == "got a text of 1 character that reads as nothing, expected some text"
    assert {"label", "score"} == set(values[0]) == set(values[4])


def test_several_guesses_come_as_a_list(catalog_path: Path) -> None:
    """One guess is an object, and several are a list; pairs are read from JSON."""
    job = LineRequest("text-classification", "moods:classifier", read_parameters(["top_k=null"]))
    code, values = ask(catalog_path, job, b'{"text": "a", "text_pair": "b"}')
    assert code == 0
    assert sorted(guess["label"] for guess in values[0]) == ["glad", "mad", "sad"]


def test_mistakes_are_found_before_a_model_is_loaded(catalog_path: Path) -> None:
    """An unknown task, model or parameter stops the command, and so does a model without the task."""
    for job, error in [
        (LineRequest("nope", None, {}), NotFound),
        (LineRequest("text-classification", "nope", {}), NotFound),
        (LineRequest("text-classification", None, {"topk": 1}), Unprocessable),
        (LineRequest("token-classification", "moods", {}), Unprocessable),
    ]:
        with pytest.raises(error):
            ask(catalog_path, job, b"a")


def test_pairs_of_the_command_line_are_json_or_strings() -> None:
    """A value of `--param` that is JSON is read as JSON; any other is a string."""
    assert read_parameters(["top_k=3", "a=null", "b=simple", 'c=["x"]', "d=x=y"]) == {
        "top_k": 3, "a": None, "b": "simple", "c": ["x"], "d": "x=y",
    }  # fmt: skip
    with pytest.raises(ValueError, match="expected key=value"):
        read_parameters(["top_k"])


def test_the_command_works_in_a_shell(catalog_path: Path) -> None:
    """`python -m glossa run` reads a pipe, writes JSON lines in UTF-8, and ends with exit code 1 for a bad line."""
    command = [sys.executable, "-m", "glossa", "run", "--task", "token-classification", "--model", "people"]
    parameters = ["--param", "aggregation_strategy=none", "--param", "ignore_labels=[]"]
    done = subprocess.run(
        [*command, "--catalog", str(catalog_path), *parameters],
        input="Würde\n\nb",
        capture_output=True,
        encoding="utf-8",
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "OMP_NUM_THREADS": "1"},
        timeout=300,
        check=False,
    )
    values = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1, done.stderr
    assert "ü" in "".join(token["word"] for token in values[0])
    assert values[1]["line"] == 2
    assert values[2]


def test_plain_models_import_no_quantization(catalog_path: Path) -> None:
    """Without quantization neither of its libraries is imported, and only the answers are printed."""
    program = (
        "import sys; from glossa.cli import main; code = main(sys.argv[1:]); "
        "sys.exit(code or sum(name.partition('.')[0] in {'torchao', 'bitsandbytes'} for name in sys.modules))"
    )
    asked = ["run", "--task", "text-classification", "--model", "moods", "--catalog", str(catalog_path)]
    done = subprocess.run(
        [sys.executable, "-c", program, *asked], input=b"All human beings\n", capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["label"]


def test_files_and_texts_are_answered_in_every_form(
    catalog_path: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """JSON lines, a table for people and tab-separated values hold the same answers; the exit code is that of lines."""
    for name, text in (("a.txt", "All human beings\n\n"), ("b.txt", "are born free\n")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    files = [str(tmp_path / "a.txt"), str(tmp_path / "b.txt")]
    asked = ["run", "--task", "text-classification", "--model", "moods", "--catalog", str(catalog_path)]
    assert main([*asked, *files]) == 1
    first, bad, last = map(json.loads, capfdbinary.readouterr().out.splitlines())
    assert (bad["line"], bad["file"], bad["code"]) == (2, files[0], "unprocessable")
    assert main([*asked, *files, "--output", "tsv"]) == 1
    rows = [line.split("\t") for line in capfdbinary.readouterr().out.decode().splitlines()]
    assert rows[0] == ["line", "label", "score", "error"]
    assert rows[1] == [f"{files[0]}:1", first["label"], rows[1][2], ""]
    assert float(rows[1][2]) == pytest.approx(first["score"], abs=1e-6)  # float32 sums may follow the batch
    assert rows[2] == [f"{files[0]}:2", "", "", bad["error"]]
    assert rows[3][:2] == [f"{files[1]}:1", last["label"]]
    assert main([*asked, "--text", "All human beings", "--output", "table"]) == 0
    header, row = capfdbinary.readouterr().out.decode().splitlines()
    assert header.split() == ["line", "text", "answer"]
    assert row.split() == ["1", "All", "human", "beings", first["label"], f"{first['score']:.2f}"]


def test_many_lines_keep_their_order(catalog_path: Path) -> None:
    """Two threads prepare batches beside the engine; rows come out as lines went in."""
    texts = [f"{tiny.SENTENCES[i % 9]} {i}".encode() for i in range(700)]
    code, values = ask(catalog_path, LineRequest("token-classification", "people", {}), *texts, b"", *texts[:3])
    assert code == 1
    assert len(values) == 704
    assert values[700]["line"] == 701
    assert values[701:] == values[:3]


def test_an_engine_that_fails_ends_the_command(catalog_path: Path) -> None:
    """What no line explains is raised, and no more lines are read."""
    model = load_catalog(catalog_path).model("moods").model_copy(update={"weights_sha256": "0" * 64})
    catalog = load_catalog(catalog_path).model_copy(update={"models": {"moods": model}})
    with pytest.raises(CheckpointError, match="the catalog expects 000"):
        run(catalog, catalog_path.parent, LineRequest("text-classification", None, {}), io.BytesIO(b"a\n"), print)


def test_a_model_starts_without_what_it_does_not_need(catalog_path: Path) -> None:
    """Answering imports torch, and neither its compiler nor transformers, Ray, AWS or the local stack."""
    program = (
        "import sys; from glossa.cli import main; code = main(sys.argv[1:]); "
        "slow = {'torch._dynamo', 'sympy', 'transformers', 'ray', 'boto3', 'rich.progress', 'local'}; "
        "print(sorted(slow & set(sys.modules)))"
    )
    asked = ["run", "--task", "token-classification", "--catalog", str(catalog_path), "--text", "All human beings"]
    done = subprocess.run([sys.executable, "-c", program, *asked], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[1:] == ["[]"], done.stderr
