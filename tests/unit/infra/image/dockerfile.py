"""Reads a Dockerfile into instructions, and finds what must not be in one.

Each rule is a function of instructions that returns what breaks it. Must not know which file it reads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

SERVED_BY = "10001:10001"
PIPE_TO_SHELL = re.compile(r"\|\s*(?:/bin/)?(?:ba|da|z)?sh\b")
SECRET = re.compile(r"(?i)(?:token|password|passwd|secret|credential|api_?key|private_?key)")
PINNED_PACKAGE = re.compile(r'"?[a-z0-9][a-z0-9.+-]*=[0-9][\w.:+~*-]*"?')
HASHED = ("--require-hashes", "--no-deps", "--only-binary :all:")


@dataclass(frozen=True)
class Instruction:
    """One instruction of a stage: its word, its arguments on one line, and the comment right above it."""

    stage: str
    word: str
    arguments: str
    comment: str = ""

    def __str__(self) -> str:
        """Return the instruction as one line."""
        return f"{self.word} {self.arguments}"


def read(text: str) -> list[Instruction]:
    """Return the instructions of a Dockerfile. The stage of what stands before the first FROM is empty."""
    found: list[Instruction] = []
    stage = comment = ""
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if line.startswith("#"):
            comment += line
        elif line.strip():
            word, _, arguments = line.partition(" ")
            if word == "FROM":
                stage = arguments.rpartition(" AS ")[2] if " AS " in arguments else arguments
            found.append(Instruction(stage, word, arguments.strip(), comment))
            comment = ""
        else:
            comment = ""
    return found


def commands(instructions: Sequence[Instruction]) -> Iterator[tuple[Instruction, str]]:
    """Yield each shell command of each RUN."""
    for one in instructions:
        if one.word == "RUN":
            yield from ((one, command.strip()) for command in re.split(r"&&|;", one.arguments))


def loose_bases(instructions: Sequence[Instruction]) -> list[str]:
    """Return each base image from outside without a tag other than latest and a digest that the builder names."""
    stages, loose = set(), []
    for one in instructions:
        if one.word == "FROM":
            image, _, name = one.arguments.partition(" AS ")
            tag = re.fullmatch(r"[\w./-]+:(?P<tag>[\w.-]+)@\$\{BASE_DIGEST\}", image)
            if image not in stages and (tag is None or tag["tag"].startswith("latest")):
                loose.append(str(one))
            stages.add(name)
    return loose


def defaults(instructions: Sequence[Instruction]) -> list[str]:
    """Return each ARG with a default: digests and indexes are named by whoever builds."""
    return [str(one) for one in instructions if one.word == "ARG" and "=" in one.arguments]


def unhashed_installs(instructions: Sequence[Instruction]) -> list[str]:
    """Return each `pip install` that takes more than what a lock with digests lists."""
    return [c for _, c in commands(instructions) if "pip install" in c and not all(flag in c for flag in HASHED)]


def loose_packages(instructions: Sequence[Instruction]) -> list[str]:
    """Return each package of Debian without a version, and each install that keeps lists or recommendations."""
    loose = []
    for run, command in commands(instructions):
        if not command.startswith("apt-get install"):
            continue
        words = [word for word in command.split()[2:] if not word.startswith("-")]
        loose += [word for word in words if not PINNED_PACKAGE.fullmatch(word)]
        if "--no-install-recommends" not in command or "rm -rf /var/lib/apt/lists/*" not in run.arguments:
            loose.append(command)
    return loose


def unsafe_steps(instructions: Sequence[Instruction]) -> list[str]:
    """Return ADD, shells fed by a pipe, downloads, sudo, open permissions, and secrets in arguments or environment."""
    found = []
    for one in instructions:
        opened = re.search(r"chmod\s+(?:-R\s+)?0?777|\bsudo\b|\b(?:curl|wget)\b", one.arguments)
        secret = one.word in {"ARG", "ENV"} and SECRET.search(one.arguments)
        if one.word == "ADD" or PIPE_TO_SHELL.search(one.arguments) or opened or secret:
            found.append(str(one))
    return found


def broad_copies(instructions: Sequence[Instruction]) -> list[str]:
    """Return each COPY of the whole context, or that gives files to the user that runs the server."""
    copies = [one for one in instructions if one.word == "COPY"]
    return [str(one) for one in copies if one.arguments.split()[0] == "." or "--chown" in one.arguments]


def root_targets(instructions: Sequence[Instruction], targets: Sequence[str]) -> list[str]:
    """Return each target whose last instruction does not give the server its user by number."""
    last = {one.stage: str(one) for one in instructions}
    return [target for target in targets if last.get(target) != f"USER {SERVED_BY}"]


def shell_forms(instructions: Sequence[Instruction]) -> list[str]:
    """Return each CMD or ENTRYPOINT that starts a shell, which would not pass on SIGTERM."""
    return [str(one) for one in instructions if one.word in {"CMD", "ENTRYPOINT"} and not _is_list(one.arguments)]


def _is_list(text: str) -> bool:
    try:
        return isinstance(json.loads(text), list)
    except ValueError:
        return False


def unexplained_healthcheck(instructions: Sequence[Instruction]) -> list[str]:
    """Return what is wrong with HEALTHCHECK: there is one for the targets, and NONE has its reason above it."""
    checks = [one for one in instructions if one.word == "HEALTHCHECK"]
    if not checks:
        return ["no HEALTHCHECK, expected one, or NONE with its reason"]
    return [str(one) for one in checks if one.arguments == "NONE" and "HEALTHCHECK" not in one.comment]


RULES: Mapping[str, Callable[[Sequence[Instruction]], list[str]]] = {
    rule.__name__: rule
    for rule in (
        loose_bases, defaults, unhashed_installs, loose_packages, unsafe_steps, broad_copies, shell_forms,
        unexplained_healthcheck,
    )
}  # fmt: skip
