"""The Dockerfile of the model server keeps the rules of a safe image; each rule has texts that break it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from serve import ingress
from tests.house.tree import ROOT, tracked
from tests.unit.infra.image.dockerfile import RULES, Instruction, commands, read, root_targets

TARGETS = ("cpu", "cuda")
IMAGE = read((ROOT / "infra/image/Dockerfile").read_text(encoding="utf-8"))
USER = 'USER 10001:10001\nCMD ["a"]\n# No HEALTHCHECK: a reason.\nHEALTHCHECK NONE\n'


def arguments_of(stage: str, word: str) -> list[str]:
    """Return the arguments of each instruction of a stage."""
    return [one.arguments for one in IMAGE if (one.stage, one.word) == (stage, word)]


@pytest.mark.parametrize("rule", RULES)
def test_the_image_keeps_the_rule(rule: str) -> None:
    """Nothing in the Dockerfile breaks it."""
    assert RULES[rule](IMAGE) == []


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        ("loose_bases", "FROM python:3.11-slim AS a"),
        ("loose_bases", "FROM python@${BASE_DIGEST} AS a"),
        ("loose_bases", "FROM python:latest@${BASE_DIGEST} AS a"),
        ("defaults", "ARG BASE_DIGEST=sha256:00"),
        ("unhashed_installs", "RUN pip install ray"),
        (
            "unhashed_installs",
            "RUN if a; then pip install --require-hashes --no-deps -r a.txt; else pip install ray; fi",
        ),
        ("unhashed_installs", "RUN pip install --require-hashes --no-deps -r a.txt"),
        ("loose_packages", "RUN apt-get install --no-install-recommends gcc && rm -rf /var/lib/apt/lists/*"),
        ("loose_packages", "RUN apt-get install gcc=4:12.2.0-3 && rm -rf /var/lib/apt/lists/*"),
        ("loose_packages", "RUN apt-get install --no-install-recommends gcc=4:12.2.0-3"),
        ("unsafe_steps", "ADD https://example.org/a /a"),
        ("unsafe_steps", "RUN python get.py | sh"),
        ("unsafe_steps", "RUN wget https://example.org/a"),
        ("unsafe_steps", "RUN chmod -R 777 /opt"),
        ("unsafe_steps", "ENV AWS_SECRET_ACCESS_KEY=a"),
        ("unsafe_steps", "ARG HUB_TOKEN"),
        ("broad_copies", "COPY . /opt"),
        ("broad_copies", "COPY --chown=10001 serve /opt/serve"),
        ("shell_forms", "CMD python -m serve.app"),
        ("unexplained_healthcheck", "RUN true"),
        ("unexplained_healthcheck", "HEALTHCHECK NONE"),
    ],
)
def test_a_broken_rule_is_found(rule: str, line: str) -> None:
    """One line that breaks the rule is reported."""
    assert RULES[rule](read(line)) != []


def test_the_targets_run_as_a_user_by_number() -> None:
    """Both targets end with the user. A target without one, or with a step after it, is found."""
    assert root_targets(IMAGE, TARGETS) == []
    assert root_targets(read("FROM base AS cpu\nUSER 10001:10001\nRUN true\nFROM base AS cuda"), TARGETS) == [
        "cpu",
        "cuda",
    ]
    assert root_targets(read("FROM base AS cpu\nUSER 10001:10001\nFROM base AS cuda\nUSER 0:0"), TARGETS) == ["cuda"]


def test_only_the_cuda_target_has_a_compiler() -> None:
    """Debian's compiler comes into that target alone, and the compiler of the kernels stays in its stage."""
    assert {one.stage for one, command in commands(IMAGE) if command.startswith("apt-get")} == {"cuda"}
    installed = {one.stage for one in IMAGE if "image-compiler" in one.arguments}
    assert installed == {"kernels"}
    locks = {target: f"requirements/image-{target}.txt" for target in TARGETS}
    assert all("ziglang" not in (ROOT / lock).read_text(encoding="utf-8") for lock in locks.values())


def test_the_image_is_built_from_files_that_git_knows() -> None:
    """Each COPY from the checkout names a file or folder of the repository, which .dockerignore lets in."""
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split("\n")
    admitted = [line.removeprefix("!").rstrip("*") for line in ignored if line.startswith("!")]
    assert "*" in ignored
    sources = [
        word
        for one in IMAGE
        if one.word == "COPY" and "--from" not in one.arguments
        for word in one.arguments.split()[:-1]
    ]
    assert sources
    for source in sources:
        assert any(path == source or path.startswith(f"{source}/") for path in tracked()), source
        assert any(source.startswith(name) for name in admitted), source


def test_the_start_command_reads_the_mounted_catalog() -> None:
    """An instance runs the image as it is: all interfaces, the port and the catalog of the contract."""
    (command,) = arguments_of("runtime", "CMD")
    assert command == str(Instruction("", "", command)).strip()
    for word in ("serve.app", "/etc/glossa/catalog.toml", "0.0.0.0", "8000", "/var/cache/glossa/weights"):  # noqa: S104 - read, not bound
        assert f'"{word}"' in command
    assert arguments_of("runtime", "ENTRYPOINT") == []


def test_haproxy_runs_through_its_wrapper() -> None:
    """Both targets write the wrapper where Ray looks for it, with the values that the local stack has."""
    environment = dict(pair.split("=", 1) for line in arguments_of("runtime", "ENV") for pair in line.split())
    wrapper = environment["RAY_SERVE_HAPROXY_BINARY_PATH"]
    expected = ingress.environment(Path(wrapper), Path("/state"), n_threads=1)
    assert environment.items() >= {name: value for name, value in expected.items() if name in environment}.items()
    for name in ("RAY_SERVE_ENABLE_HA_PROXY", "RAY_SERVE_THROUGHPUT_OPTIMIZED", "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S"):
        assert environment[name] == expected[name]
    for target in TARGETS:
        assert any(f"python -m serve.ingress {wrapper} --bind all" in run for run in arguments_of(target, "RUN"))


def test_what_the_server_writes_lies_in_the_volumes() -> None:
    """Every folder that the environment names is below /tmp or /var/cache/glossa, and the code is not writable."""
    environment = " ".join(arguments_of("runtime", "ENV"))
    folders = dict(re.findall(r"(\w+)=(/\S+)", environment))
    assert folders.pop("PYTHONPATH") == "/opt/glossa"
    assert folders.pop("RAY_SERVE_HAPROXY_BINARY_PATH") == "/opt/glossa/bin/haproxy"
    assert {path for path in folders.values() if not path.startswith(("/tmp", "/var/cache/glossa"))} == set()  # noqa: S108 - read, not written
    assert "PYTHONDONTWRITEBYTECODE=1" in environment


def test_the_server_starts_from_a_copy_of_what_the_image_holds(tmp_path: Path) -> None:
    """With the folders that the stage `code` copies and nothing else, the server's program runs and writes nothing."""
    copies = [one.split() for one in arguments_of("code", "COPY") if not one.startswith("--from")]
    for source, target in copies:
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, tmp_path / Path(target).name, ignore=shutil.ignore_patterns("__pycache__"))
    before = sorted(tmp_path.rglob("*"))
    environment = {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1", "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-m", "serve.app", "--help"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "--catalog" in done.stdout
    assert sorted(tmp_path.rglob("*")) == before
