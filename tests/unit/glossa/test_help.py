"""Help, version and completion: every command has examples that its own parser takes, and shells can ask for words."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import glossa
from glossa.cli import COMMANDS, COMPLETES, EXIT_CODES, SECTIONS, main, root
from glossa.commands.remote.completion import CALLS, VARIABLE, script
from tests.house.tree import ROOT

TITLE = "Examples:"


def leaves(group: click.Group, *names: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield the words and the command of everything below a group that can be run."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, *names, name)
        else:
            yield (*names, name), command


LEAVES = dict(leaves(root))


def calls(example: str) -> list[list[str]]:
    """Return the words of each call of `glossa` in a line of a shell."""
    parts = re.split(r"\||&&|\$\(|\)|[<>]", example.partition(" #")[0])
    found = [re.sub(r"^(\w+=\S+ )+", "", part.strip()) for part in parts]
    return [shlex.split(part)[1:] for part in found if part.split(" ")[0] == "glossa"]


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_every_command_has_examples_that_can_be_typed(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is of this command. The options and arguments of all are read without an error, where their files are."""
    monkeypatch.chdir(tmp_path)
    epilog = LEAVES[words].epilog or ""
    assert TITLE in epilog
    whole = epilog.partition(TITLE)[2].replace("\\\n", " ")
    [*examples] = [line for line in whole.splitlines() if "glossa " in line]
    typed = [call for example in examples for call in calls(example.replace('"$(', "$(").replace(')"', ")"))]
    assert words in {tuple(call[: len(words)]) for call in typed}
    for call in typed:
        for file in (word for word in call if re.fullmatch(r"\w+\.txt", word)):
            Path(file).touch()
        name, command = next((each, LEAVES[each]) for each in LEAVES if tuple(call[: len(each)]) == each)
        command.make_context(" ".join(name), call[len(name) :])


def test_the_list_of_commands_has_whole_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    """Every command stands in one section, on one line, and the exit codes are below."""
    assert len(COMMANDS) == sum(map(len, SECTIONS.values()))
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    assert [name for name in COMMANDS if not re.search(rf"^  {name} +\S.*[^.]\.$", said, re.MULTILINE)] == []
    assert all(f"{title}:" in said for title in SECTIONS)
    assert "130  interrupted by Ctrl-C" in said
    assert "130" in EXIT_CODES


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    """One line, for programs and people."""
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out == f"glossa {glossa.__version__}\n"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("glossa do", ["doctor"]),
        ("glossa catalog re", ["refresh", "remove"]),
        ("glossa run --outp", ["--output"]),
        ("glossa run --output t", ["table", "tsv"]),
        ("glossa run --task text-", ["text-classification", "text-generation"]),
        ("glossa run --model mi", ["mini"]),
        ("glossa run --model mini:to", ["mini:topic"]),
        ("glossa run --catalog nowhere --model mi", []),
        ("glossa completion ", ["bash", "zsh", "fish"]),
    ],
)
def test_words_are_completed(
    words: str, found: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Commands, options, tasks and models go on as a shell asks."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv(COMPLETES, "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
    assert main([]) == 0
    assert [line.split(",", 1)[1] for line in capsys.readouterr().out.splitlines() if line] == found
    assert COMPLETES == VARIABLE


@pytest.mark.parametrize("shell", CALLS)
def test_a_script_calls_this_program(shell: str) -> None:
    """Whatever `glossa` is in the shell: a program, a function or an alias."""
    made = script(shell, "PYTHONPATH=/here /bin/python -m glossa")
    assert f"{VARIABLE}={shell}_complete" in made
    assert "PYTHONPATH=/here /bin/python -m glossa)" in made
    assert "$+commands" not in made
    assert "$1" not in made.replace("$1)", "") or shell == "bash"


def test_bash_completes_with_the_script(capsys: pytest.CaptureFixture[str]) -> None:
    """A real bash reads the script, and asks the program from another folder."""
    assert main(["completion", "bash"]) == 0
    typed = "COMP_WORDS=(glossa doc); COMP_CWORD=1; _glossa_completion glossa; echo ${COMPREPLY[@]}"
    program = f"{capsys.readouterr().out}\n{typed}"
    done = subprocess.run(["bash", "-c", program], cwd="/", capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["doctor"]
