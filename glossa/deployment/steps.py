"""What a deployment is made of: command lines with `${Name}` for facts that an earlier step finds out, in steps.

Pure. Must not know which steps there are, or how a command runs.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_NAME = re.compile(r"\$\{([A-Za-z][A-Za-z0-9_]*)\}")
Facts = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Command:
    """A command line. No secret is ever part of it. `env` adds to the environment.

    `otherwise` has what stands for a word when a fact that it asks for is not known.
    """

    words: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    otherwise: Mapping[str, str] = field(default_factory=dict)

    def filled(self, facts: Facts) -> Command:
        """Return the command with every `${Name}` replaced. Raises ValueError for a fact that is not known yet."""
        return Command(
            tuple(fill(self._known(word, facts), facts) for word in self.words),
            {name: fill(value, facts) for name, value in self.env.items()},
        )

    def _known(self, word: str, facts: Facts) -> str:
        return word if names_in(word) <= facts.keys() else self.otherwise.get(word, word)

    def shown(self, facts: Facts) -> str:
        """Return the command as it can be pasted into a shell; a fact that is not known yet stands as `<Name>`."""
        words = [shlex.quote(_show(word, facts)) for word in self.words]
        return " ".join([*(f"{name}={shlex.quote(_show(value, facts))}" for name, value in self.env.items()), *words])


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a plan.

    `title` says what it does and `minutes` how long it may take. `sources` are the files and folders that decide its
    result. `stack` is the stack whose outputs become facts after the step. `gives` are facts that its programs note; it
    is not done without them. A step that is `always` runs in every deployment, even if nothing has changed.
    """

    name: str
    title: str
    commands: tuple[Command, ...]
    minutes: int = 1
    sources: tuple[str, ...] = ()
    stack: str = ""
    always: bool = False
    gives: tuple[str, ...] = ()

    def digest(self, root: Path, facts: Facts) -> str:
        """Return the sha256 of the step's filled commands and of its sources: a step with another digest runs again."""
        total = hashlib.sha256()
        for command in self.commands:
            total.update(command.shown(facts).encode() + b"\0")
        total.update(digest_of(root, self.sources).encode())
        return total.hexdigest()


def digest_of(root: Path, names: Sequence[str]) -> str:
    """Return the sha256 of the names and bytes of files and folders below `root`."""
    total = hashlib.sha256()
    for path in _files(root, names):
        total.update(f"{path.relative_to(root)}\0{path.stat().st_size}\0".encode())
        total.update(path.read_bytes())
    return total.hexdigest()


def fill(text: str, facts: Facts) -> str:
    """Return `text` with every `${Name}` replaced by its fact. Raises ValueError that names the unknown ones."""
    if unknown := sorted({name for name in _NAME.findall(text) if name not in facts}):
        raise ValueError(f"got {text!r}, expected values for {', '.join(unknown)}: no step before this one gives them")
    return _NAME.sub(lambda match: facts[match[1]], text)


def names_in(text: str) -> set[str]:
    """Return the names of the facts that a text asks for."""
    return set(_NAME.findall(text))


def _show(text: str, facts: Facts) -> str:
    return _NAME.sub(lambda match: facts.get(match[1], f"<{match[1]}>"), text)


def _files(root: Path, names: Sequence[str]) -> list[Path]:
    found = []
    for name in names:
        path = root / name
        inside = path.rglob("*") if path.is_dir() else [path]
        found += [each for each in inside if each.is_file() and "__pycache__" not in each.parts]
    return sorted(found)
