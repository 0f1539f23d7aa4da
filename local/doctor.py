"""What `glossa doctor` checks: the machine, the ports, the environments, and on request a browser and AWS.

Each check says what was found and, if that is not enough, a way forward. It changes nothing.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from local import emulator, model_server, preflight, processes
from local.ports import BLOCK, Ports, free_block, is_free
from local.workspace import Workspace, read_json

GOOD_CORES = 2  # what the model that ships was measured on
ENVIRONMENTS = {".venv": "venv", ".venv-local": "venv-local", ".venv-sam": "venv-sam"}  # -> its file of requirements
SHOWN_PACKAGES = 3
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True, slots=True)
class Check:
    """One check. `found` says what there is; `way` what to do, if it is not enough."""

    name: str
    state: Literal["ok", "warning", "missing"]
    found: str
    way: str = ""


def all_checks(workspace: Workspace, *, browser: bool = False, aws: bool = False) -> list[Check]:
    """Check this machine for the stack of a workspace."""
    found = [*machine_checks(workspace), ports_check(workspace)]
    found += [environment_check(workspace.root, name, locked) for name, locked in ENVIRONMENTS.items()]
    if browser:
        found.append(browser_check(os.environ.get("PATH", "")))
    if aws:
        found.append(aws_check())
    return found


def machine_checks(workspace: Workspace) -> Iterator[Check]:
    """Yield the checks of Python, programs, cores, memory and disk."""
    version = "{}.{}.{}".format(*sys.version_info)
    yield _needed("Python", f"{version}", preflight.python_problem(sys.version_info[:2]), "install one of them")
    make = preflight.make_problem(os.environ.get("PATH", ""))
    yield _needed("make", "there", make, "install it (Debian and Ubuntu: apt install make)")
    kind = f"{platform.system()} on {platform.machine()}"
    yield _needed("machine", kind, preflight.machine_problem(platform.system(), platform.machine().lower()), "")
    yield cores_check(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    memory_gb = preflight.memory_bytes() / preflight.GB
    more = "close programs, or take a larger machine"
    yield _needed("memory", f"{memory_gb:.1f} GB", preflight.memory_problem(memory_gb), more)
    free_gb = shutil.disk_usage(workspace.root).free / preflight.GB
    needed_gb = preflight.DISK_BUILT_GB if (workspace.root / ".venv").exists() else preflight.DISK_GB
    more = "free some; `glossa stop --forget` removes what earlier stacks stored"
    yield _needed("disk", f"{free_gb:.1f} GB free", preflight.disk_problem(free_gb, needed_gb), more)


def cores_check(n_cores: int) -> Check:
    """Check the number of cores: one is enough, and slow."""
    if n_cores >= GOOD_CORES:
        return Check("cores", "ok", f"{n_cores}")
    return Check("cores", "warning", f"{n_cores}", f"expect slow answers; {GOOD_CORES} or more are better")


def ports_check(workspace: Workspace) -> Check:
    """Check that the stack has its ports, or would get some, and that its stored state can be used at them."""
    if any(processes.alive(workspace, name) is not None for name in (emulator.NAME, model_server.NAME)):
        return Check("ports", "ok", "those of the stack that runs; `glossa status` names them")
    kept = read_json(workspace.home / "state" / "port.json")
    try:
        block = free_block(workspace)
    except OSError as error:
        return Check("ports", "missing", str(error), "end what listens there")
    if kept is not None and kept["emulator"] != block.emulator and not is_free(kept["emulator"]):
        taken = f"port {kept['emulator']} is taken, and the stored state of the stack has that address"
        return Check("ports", "missing", taken, "end what listens there, or: glossa stop --forget")
    base = Ports(kept["emulator"] - (block.emulator - block.base)).base if kept is not None else block.base
    return Check("ports", "ok", f"{base} to {base + BLOCK - 1} of 127.0.0.1")


def environment_check(root: Path, name: str, locked: str) -> Check:
    """Check that an environment is there, with the versions of its file of requirements."""
    [*packages] = (root / name).glob("lib/python*/site-packages")
    if not packages:
        return Check(name, "missing", "not there", "make setup")
    there = distributions(path=[str(packages[0])])
    found: dict[str, str] = {canonicalize_name(each.name): each.version for each in there if each.name}
    texts = [(root / "requirements" / f"{locked}{suffix}").read_text(encoding="utf-8") for suffix in (".txt", ".in")]
    other = [
        f"{name} {found.get(name, 'missing')} (locked: {version})"
        for name, version in pinned(texts)
        if name not in found or Version(found[name]).public != Version(version).public
    ]
    if not other:
        return Check(name, "ok", f"{len(found)} packages, as locked")
    more = f", and {len(other) - SHOWN_PACKAGES} more" if len(other) > SHOWN_PACKAGES else ""
    return Check(name, "missing", ", ".join(other[:SHOWN_PACKAGES]) + more, f"rm {name}/.done && make setup")


def pinned(texts: Iterable[str]) -> list[tuple[str, str]]:
    """Return name and version of each `name==version` of files of requirements, if it is meant for this machine."""
    found: dict[str, str] = {}
    for line in "\n".join(texts).splitlines():
        text = re.sub(r"\s*(#.*|\\)$", "", line).strip()
        if not re.match(r"[A-Za-z0-9][\w.\[\]-]*==", text):
            continue
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate():
            [exact] = requirement.specifier
            found[canonicalize_name(requirement.name)] = exact.version
    return list(found.items())


def browser_check(path: str) -> Check:
    """Check that a Chromium is on a search path."""
    found = next((where for name in BROWSERS if (where := shutil.which(name, path=path))), None)
    if found is not None:
        return Check("browser", "ok", found)
    return Check("browser", "missing", "no Chromium on PATH", "Debian: apt install chromium fonts-noto")


def aws_check() -> Check:
    """Check that AWS knows the caller, and that a region is chosen."""
    import boto3  # noqa: PLC0415 - slow, and only this check needs it

    from glossa.deployment.account import AwsAccount  # noqa: PLC0415 - as above

    session = boto3.Session()
    if session.get_credentials() is None:
        return Check("AWS", "missing", "no credentials", "aws configure, or set AWS_PROFILE")
    if not session.region_name:
        return Check("AWS", "missing", "no region", "set AWS_DEFAULT_REGION, or write one into the environment's file")
    account = AwsAccount(session.region_name).account_id()
    if account is None:
        return Check("AWS", "missing", "AWS refuses the credentials", "aws sts get-caller-identity says why")
    return Check("AWS", "ok", f"account {account}, {session.region_name}")


def _needed(name: str, found: str, problem: str, way: str) -> Check:
    return Check(name, "missing", problem, way) if problem else Check(name, "ok", found)
