"""Checks that a deployment stops at a failure, goes on there, and does not repeat what has not changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from glossa.deployment.fake import FakeRunner
from glossa.deployment.runner import Deployment, Shell, State, StepFailed, note
from glossa.deployment.steps import Command, Step

STEPS = [
    Step("one", "first", (Command(("make", "one")),), sources=("source.txt",), stack="one"),
    Step("two", "second", (Command(("make", "two", "${Address}")),)),
    Step("three", "third", (Command(("make", "three")),), always=True),
]


def deployment(folder: Path, runner: FakeRunner, outputs: Mapping[str, str] | None = None) -> Deployment:
    """Return a deployment whose only stack gives an address."""
    (folder / "source.txt").touch()
    given = {"Address": "10.0.0.1"} if outputs is None else outputs
    return Deployment(folder, runner, lambda _: given, State(folder / "state.json"), Path("notes.json"), lambda _: None)


def test_steps_run_in_order_and_a_stack_feeds_the_next_step(tmp_path: Path) -> None:
    """An output of a stack is a fact of the steps after it."""
    runner = FakeRunner()
    assert deployment(tmp_path, runner).run(STEPS, {})["Address"] == "10.0.0.1"
    assert runner.lines == ["make one", "make two 10.0.0.1", "make three"]


def test_a_second_run_repeats_only_what_always_runs(tmp_path: Path) -> None:
    """A step whose commands and sources are the same is not run again."""
    deployment(tmp_path, FakeRunner()).run(STEPS, {})
    runner = FakeRunner()
    deployment(tmp_path, runner).run(STEPS, {})
    assert runner.lines == ["make three"]


def test_a_stack_that_somebody_removed_is_made_again(tmp_path: Path) -> None:
    """What is noted as done counts only while the stack stands."""
    deployment(tmp_path, FakeRunner()).run(STEPS, {})
    stacks: dict[str, Mapping[str, str]] = {}
    runner = FakeRunner()

    def outputs(stack: str) -> Mapping[str, str]:
        if not runner.ran:
            raise LookupError(stack)
        return stacks.setdefault(stack, {"Address": "10.0.0.1"})

    again = deployment(tmp_path, runner)
    Deployment(again.root, runner, outputs, again.state, again.notes, again.say).run(STEPS, {})
    assert runner.lines == ["make one", "make three"]


def test_a_changed_source_runs_its_step_again(tmp_path: Path) -> None:
    """The digest of a step covers the files that decide its result."""
    deployment(tmp_path, FakeRunner()).run(STEPS, {})
    (tmp_path / "source.txt").write_text("new", encoding="utf-8")
    runner = FakeRunner()
    deployment(tmp_path, runner).run(STEPS, {})
    assert runner.lines == ["make one", "make three"]


def test_a_changed_output_runs_the_steps_that_read_it_again(tmp_path: Path) -> None:
    """A new address reaches the step that is given it."""
    deployment(tmp_path, FakeRunner()).run(STEPS, {})
    runner = FakeRunner()
    deployment(tmp_path, runner, {"Address": "10.0.0.2"}).run(STEPS, {})
    assert runner.lines == ["make two 10.0.0.2", "make three"]


def test_a_failure_stops_and_the_next_run_goes_on_there(tmp_path: Path) -> None:
    """What was done before the failure is not done again; what failed is."""
    runner = FakeRunner(fails_at="two", n_failures=1)
    with pytest.raises(StepFailed, match=r"step two failed: make ended with status 1\. .*goes on with this step"):
        deployment(tmp_path, runner).run(STEPS, {})
    deployment(tmp_path, runner).run(STEPS, {})
    assert runner.lines == ["make one", "make two 10.0.0.1", "make two 10.0.0.1", "make three"]


def test_again_runs_every_step(tmp_path: Path) -> None:
    """With `again` nothing is skipped."""
    deployment(tmp_path, FakeRunner()).run(STEPS, {})
    runner = FakeRunner()
    deployment(tmp_path, runner).run(STEPS, {}, again=True)
    assert len(runner.lines) == 3


def test_a_fact_that_no_step_gives_is_named(tmp_path: Path) -> None:
    """A step that asks for something unknown fails with its name, before its command runs."""
    runner = FakeRunner()
    with pytest.raises(ValueError, match="expected values for Address"):
        deployment(tmp_path, runner, {}).run(STEPS, {})
    assert runner.lines == ["make one"]


def test_what_a_program_notes_is_a_fact_of_the_next_step(tmp_path: Path) -> None:
    """The digest of a pushed image reaches the stack that names it, in a later run too."""
    note(tmp_path / "notes.json", {"Address": "from a program"})
    assert deployment(tmp_path, FakeRunner(), {}).run(STEPS, {})["Address"] == "from a program"


def test_a_step_whose_facts_were_lost_runs_again(tmp_path: Path) -> None:
    """What is done and what was noted are two files; without the note of its fact, a step is not done."""
    steps = [Step("image", "image", (Command(("make", "image")),), gives=("ImageUri",))]
    note(tmp_path / "notes.json", {"ImageUri": "a@sha256:1"})
    deployment(tmp_path, FakeRunner()).run(steps, {})
    runner = FakeRunner()
    deployment(tmp_path, runner).run(steps, {})
    assert runner.lines == []
    (tmp_path / "notes.json").unlink()
    deployment(tmp_path, runner).run(steps, {})
    assert runner.lines == ["make image"]


def test_a_broken_note_of_what_is_done_counts_as_none(tmp_path: Path) -> None:
    """A file that was cut in the middle, or holds no JSON of ours, makes every step run, and none be skipped."""
    for broken in ('{"one": ', "[" * 100_000, "null"):
        deployment(tmp_path, FakeRunner()).run(STEPS, {})
        (tmp_path / "state.json").write_text(broken, encoding="utf-8")
        runner = FakeRunner()
        deployment(tmp_path, runner).run(STEPS, {})
        assert len(runner.lines) == 3


def test_a_real_command_runs_in_the_folder_with_its_environment(tmp_path: Path) -> None:
    """The shell runs a command where it is told, and returns its status."""
    command = Command(("sh", "-c", 'echo "$WORD" > here; exit 3'), {"WORD": "found"})
    assert Shell({"PATH": "/usr/bin:/bin"}).run(command, tmp_path) == 3
    assert (tmp_path / "here").read_text(encoding="utf-8") == "found\n"


def test_a_missing_program_is_one_sentence(tmp_path: Path) -> None:
    """A program that is not installed ends the step with its name."""
    steps = [Step("one", "first", (Command(("/no/such/program",)),))]
    run = Deployment(tmp_path, Shell({}), lambda _: {}, State(tmp_path / "s.json"), Path("notes.json"), lambda _: None)
    with pytest.raises(StepFailed, match="step one: /no/such/program cannot be run"):
        run.run(steps, {})
