"""Every command prints what it did, or one line about what is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

from glossa.cli import IS_CHECKOUT, main, needs_checkout
from glossa.commands.catalog.add import CHECKOUT, where_served
from shared.catalog import load_catalog


def test_models_lists_every_head(catalog_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """People get a table with a row for each head; programs get one JSON value."""
    assert main(["models", "--catalog", str(catalog_path)]) == 0
    table = capsys.readouterr().out
    rows = [" ".join(line.split()) for line in table.splitlines()]
    assert "moods:classifier text-classification * base sad, glad, mad" in rows
    assert "moods:embed feature-extraction *, sentence-similarity *, rerank * base" in rows
    assert "people:embed feature-extraction, sentence-similarity, rerank base" in rows
    assert "* answers this task when a request names no model" in rows
    assert "O, B-PER, I-PER, B-LOC, … (5)" in table
    assert main(["models", "--json", "--catalog", str(catalog_path)]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [model["name"] for model in listed["models"]] == ["moods", "people"]
    assert listed["defaults"]["token-classification"] == "people:classifier"


def test_artifacts_and_refresh_say_what_they_did(
    catalog_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands that write files print which ones."""
    assert main(["artifacts", "--catalog", str(catalog_path), "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / n / "tokenizer.json") for n in ("moods", "people")]
    speed = str(load_catalog(catalog_path).model("moods").tokens_per_s)
    assert main(["catalog", "refresh", "moods", "--catalog", str(catalog_path), "--tokens-per-s", speed]) == 0
    assert capsys.readouterr().out == "moods: nothing changed\n"


def test_adding_prints_where_the_model_can_be_used(
    catalog_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`make run` is named only for the catalog of the checkout, because it reads no other."""
    folder, other = str(catalog_path.parent / "models" / "moods"), str(tmp_path / "other.toml")
    assert main(["catalog", "add", folder, "--name", "moods", "--tokens-per-s", "9", "--catalog", other]) == 0
    said = capsys.readouterr().err
    assert f"{other} has moods now; `glossa run --catalog {other}` uses it" in said
    assert "make run" not in said
    assert (
        where_served(CHECKOUT / "catalog.toml") == "`make run` serves it on this machine, a deployment serves it on AWS"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["models", "--catalog", "nowhere.toml"], "glossa catalog add FOLDER --name NAME"),
        (["run", "--task", "nope"], "no task 'nope'"),
        (["run", "--task", "fill-mask", "--model", "nope"], "no model 'nope'; models: ['moods', 'people']"),
        (["run", "--task", "fill-mask"], "no model does fill-mask"),
        (["run", "--task", "text-classification", "--param", "x"], "expected key=value"),
        (["catalog", "add", "nowhere", "--name", "x"], "got checkpoint 'nowhere', expected a folder"),
        (["catalog", "refresh", "nope"], "no model 'nope'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_two(
    catalog_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reason goes to standard error, without a traceback."""
    if "--catalog" not in arguments:
        arguments = [*arguments, "--catalog", str(catalog_path)]
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert "Traceback" not in captured.err


@pytest.mark.parametrize("command", [[], ["run"], ["tokenize"], ["models"], ["artifacts"], ["catalog", "add"]])
def test_help_is_there(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Each command prints its usage."""
    with pytest.raises(SystemExit) as left:
        main([*command, "--help"])
    assert left.value.code == 0
    assert "Usage: glossa" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (["--dtype", "float64"], "float64 is not one of float32, bfloat16, float16"),
        (["--quantization", "int4"], "int4 is not one of none, bnb-nf4"),
        (["--attn-implementation", "flash"], "flash is not one of auto, eager, sdpa"),
        (["--quantization", "torchao-int4"], "got dtype float32 with quantization torchao-int4, expected bfloat16"),
        (["--attn-implementation", "flash_attention_2"], "got dtype float32 with attn_implementation flash"),
    ],
)
def test_a_wrong_storage_is_refused_with_the_possible_ones(
    catalog_path: Path, stored: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong value, or two that do not fit together, ends with exit code 2. The catalog stays as it was."""
    before = catalog_path.read_bytes()
    folder = str(catalog_path.parent / "models" / "moods")
    arguments = ["catalog", "add", folder, "--name", "other", *stored, "--catalog", str(catalog_path)]
    try:
        code: object = main(arguments)
    except SystemExit as left:  # click refuses by itself
        code = left.code
    assert code == 2
    assert message in capsys.readouterr().err.replace("'", "")
    assert catalog_path.read_bytes() == before


@pytest.mark.parametrize("arguments", [[], ["nope"], ["run"], ["catalog", "refresh"], ["models", "--nope"]])
def test_wrong_arguments_are_exit_code_two(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Missing or unknown commands and options are refused on standard error."""
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Usage: glossa" in captured.err


def test_the_old_name_of_size_class_is_read_with_a_warning(
    catalog_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--lane` still sets the size class, and prints its new name; both together are refused."""
    folder, path = str(catalog_path.parent / "models" / "moods"), tmp_path / "catalog.toml"
    arguments = ["catalog", "add", folder, "--name", "moods", "--tokens-per-s", "9", "--catalog", str(path)]
    assert main([*arguments, "--lane", "large"]) == 0
    assert "--lane is the old name of --size-class" in capsys.readouterr().err
    assert load_catalog(path).model("moods").size_class == "large"
    assert 'size_class = "large"' in path.read_text(encoding="utf-8")
    assert main([*arguments, "--lane", "large", "--size-class", "large"]) == 2
    assert "got --lane and --size-class, expected --size-class alone" in capsys.readouterr().err


def test_starting_imports_no_heavy_library() -> None:
    """The help imports every command, and neither torch, ray, boto3, transformers nor the local stack."""
    program = (
        "import sys; from glossa.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'ray', 'boto3', 'transformers', 'numpy', 'local'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_reader_that_goes_away_is_no_error(catalog_path: Path) -> None:
    """A pipe that is closed early ends the command with exit code 0 and no message."""
    command = [sys.executable, "-m", "glossa", "tokenize", "--catalog", str(catalog_path)]
    with subprocess.Popen(
        command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(b"first\n")
        process.stdin.flush()
        assert process.stdout.readline()
        process.stdout.close()
        process.stdin.write(b"second\n" * 1000)
        process.stdin.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


@pytest.mark.parametrize("arguments", [["call-keys", "status", "--secret", "x"], ["keys", "list", "--table", "t"]])
def test_what_aws_refuses_is_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any error of the AWS libraries, such as that of a missing region, ends in a sentence."""
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    assert main(arguments) == 2
    assert capsys.readouterr().err == "glossa: AWS refused: You must specify a region.\n"


def failing(error: Exception) -> click.Group:
    """Return a group whose command `fail` raises an error."""

    def fail() -> None:
        raise error

    return click.Group("glossa", {"fail": click.Command("fail", callback=fail)})


def test_an_error_that_nobody_foresaw_keeps_its_traceback() -> None:
    """Only errors of the AWS libraries become a line."""
    with pytest.raises(KeyError):
        main(["fail"], failing(KeyError("a bug")))


def test_a_question_that_nobody_answers_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal, as in a pipeline, click gives up, and the way forward is named."""
    assert main(["fail"], failing(click.Abort())) == 2
    assert "expected one; without a terminal give --yes" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--task", "fill-mask", "-h"], ["catalog", "--help"]])
def test_a_command_that_the_wheel_has_not_names_the_way(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever its arguments, it says that it needs the checkout, how to get one, and which commands are there."""
    assert main(["run", *arguments], click.Group("glossa", {"run": needs_checkout("run")})) == 2
    said = capsys.readouterr().err
    assert "got the command run, which needs a checkout" in said
    assert "batch" in said
    assert "`.venv/bin/python -m glossa run`" in said
    assert IS_CHECKOUT
