"""Runs the steps of a plan in order, remembers which are done, and stops at the first that fails.

A deployment that was stopped goes on where it stopped: a step whose commands and sources are the same is not run
again. Must not know which steps there are.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from glossa.deployment.steps import Command, Step

Say = Callable[[str], None]


class StepFailed(RuntimeError):
    """A command of a step ended with an error. The message names the step and says how to go on."""


class CommandRunner(Protocol):
    """Runs a command in a folder and returns its exit status."""

    def run(self, command: Command, folder: Path) -> int:
        """Run one command; its output goes to the terminal."""
        ...


class Shell:
    """Runs commands on this machine. Their output is shown as it comes."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = dict(environ)

    def run(self, command: Command, folder: Path) -> int:
        """Run one command. Raises OSError when the program is missing."""
        env = {**self._environ, **command.env}
        return subprocess.run(list(command.words), cwd=folder, env=env, check=False).returncode


def read_notes(path: Path) -> dict[str, str]:
    """Return what a JSON file of texts holds, nothing when there is none or it is broken."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def note(path: Path, facts: Mapping[str, str]) -> None:
    """Add facts to a JSON file of texts, in such a way that no reader sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({**read_notes(path), **facts}, indent=2) + "\n", encoding="utf-8")
    fresh.replace(path)


@dataclass(frozen=True, slots=True)
class State:
    """Which steps of a deployment are done: a file of their digests."""

    path: Path

    def done(self) -> dict[str, str]:
        """Return the digest of each step that is done."""
        return read_notes(self.path)

    def note(self, step: str, digest: str) -> None:
        """Remember that a step is done."""
        note(self.path, {step: digest})

    def forget(self) -> None:
        """Forget every step, as after the stacks were removed."""
        self.path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Deployment:
    """Runs a plan.

    `outputs` returns what a stack gives, by the stack's name in the plan. `notes` is a JSON file in which the programs
    of steps note further facts, such as the digest of an image.
    """

    root: Path
    runner: CommandRunner
    outputs: Callable[[str], Mapping[str, str]]
    state: State
    notes: Path
    say: Say
    clock_s: Callable[[], float] = time.monotonic

    def run(self, steps: Sequence[Step], facts: Mapping[str, str], *, again: bool = False) -> dict[str, str]:
        """Run every step that is not done; return the facts at the end.

        With `again` every step runs. Raises StepFailed, and ValueError when a step asks for an unknown fact.
        """
        known = dict(facts)
        done = {} if again else self.state.done()
        for number, step in enumerate(steps, 1):
            digest = step.digest(self.root, known)
            head = f"[{number}/{len(steps)}] {step.title}"
            if done.get(step.name) == digest and not step.always and self._stands(step) and self._noted(step):
                self.say(f"{head}: nothing has changed")
            else:
                self.say(f"{head} (up to {step.minutes} min)")
                started_s = self.clock_s()
                self._run_step(step, known)
                self.state.note(step.name, digest)
                self.say(f"{head}: done in {self.clock_s() - started_s:.0f} s")
            if step.stack:
                known.update(self.outputs(step.stack))
            known.update(read_notes(self.root / self.notes))
        return known

    def _stands(self, step: Step) -> bool:
        """Return whether the stack of a step that was done is still there."""
        try:
            return not step.stack or self.outputs(step.stack) is not None
        except LookupError:
            return False

    def _noted(self, step: Step) -> bool:
        """Return whether every fact that a step gives is still noted: the notes and the state are two files."""
        return set(step.gives) <= read_notes(self.root / self.notes).keys()

    def _run_step(self, step: Step, facts: Mapping[str, str]) -> None:
        for command in step.commands:
            filled = command.filled(facts)
            shown = filled.shown({})
            self.say(f"  $ {shown}")
            try:
                status = self.runner.run(filled, self.root)
            except OSError as error:
                raise StepFailed(f"step {step.name}: {command.words[0]} cannot be run: {error.strerror}") from None
            if status != 0:
                raise StepFailed(
                    f"step {step.name} failed: {shown.split()[0]} ended with status {status}. Mend what it says, then "
                    "run the same command again: it goes on with this step"
                )
