"""What pip installs is locked: each lock holds the pins of its .in file, and each package of it has digests.

Each rule is a function over texts. One test applies it to the repository, one to a made-up text that breaks it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from tests.house.tree import ROOT, tracked

PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[\w,-]+\])?==([^\s;\\]+)", re.MULTILINE)
DIGEST = re.compile(r"--hash=sha256:[0-9a-f]{64}\b")
BUILT_BY = {"image-cpu": "image", "image-cuda": "image"}  # locks that share one .in file
WITHOUT_TORCH = re.compile(r"^(?:venv|image-cpu)")
LOCKED = ("--require-hashes", "--no-deps", "--only-binary :all:")


def pins(text: str) -> dict[str, str]:
    """Return the pinned version of each package."""
    return {name.lower().replace("_", "-"): version for name, version in PIN.findall(text)}


def unlocked(locks: Mapping[str, str]) -> list[str]:
    """Return `lock: line` for each requirement of a lock without an exact version or without a digest."""
    return [
        f"{name}: {entry[:40]}"
        for name, text in locks.items()
        for entry in re.sub(r"\\\n\s*", " ", text).splitlines()
        if entry.strip() and not entry.startswith("#") and not (PIN.match(entry) and DIGEST.search(entry))
    ]


def stale(locks: Mapping[str, str], asked: Mapping[str, str]) -> list[str]:
    """Return each pin of an .in file that its lock lacks, or has in another version. torch is in the locks of CUDA."""
    found = [f"{name}: no lock" for name in asked if name not in {BUILT_BY.get(lock, lock) for lock in locks}]
    for lock, text in locks.items():
        wanted, have = pins(asked.get(BUILT_BY.get(lock, lock), "")), pins(text)
        if WITHOUT_TORCH.match(lock):
            wanted.pop("torch", None)
        found += [f"{lock}: {name}=={version}" for name, version in wanted.items() if have.get(name) != version]
    return found


def loose_installs(makefile: str) -> list[str]:
    """Return each `pip install` of a Makefile that takes more than a lock, but for torch by its version."""
    variables = dict(re.findall(r"^(\w+) :?= (.*)$", makefile, re.MULTILINE))
    text = re.sub(r"\$\((\w+)\)", lambda found: variables.get(found[1], found[0]), makefile)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [
        line.strip()
        for line in lines
        if re.search(r"\bpip install\b", line)
        and not all(flag in line.replace("--only-binary=", "--only-binary ") for flag in LOCKED)
        and "$(call TORCH," not in line
    ]


def _texts(folder: str, suffix: str) -> dict[str, str]:
    paths = [path for path in tracked() if path.startswith(folder) and path.endswith(suffix)]
    return {path.rpartition("/")[2].removesuffix(suffix): (ROOT / path).read_text(encoding="utf-8") for path in paths}


def test_each_package_is_locked_by_digest() -> None:
    """Every line of every lock names one version, and the digests of its files."""
    assert unlocked(_texts("requirements/", ".txt") | _texts("functions/requirements", ".txt")) == []


def test_a_package_without_digest_is_found() -> None:
    """A range, an address and a version without digest are reported."""
    digest = f"--hash=sha256:{'0' * 64}"
    text = f"# a comment\na==1 \\\n    {digest}\nb>=1 {digest}\nc==1\ngit+https://example.org/d {digest}\n"
    assert unlocked({"x": text}) == [
        "x: b>=1 " + digest[:35],
        "x: c==1",
        "x: git+https://example.org/d --hash=sha256:00"[:43],
    ]


def test_each_lock_fits_what_is_asked() -> None:
    """`make lock` has run since an .in file changed, and each .in file has a lock."""
    assert stale(_texts("requirements/", ".txt"), _texts("requirements/", ".in")) == []


def test_a_stale_lock_is_found() -> None:
    """A version that the lock does not have, a package that it lacks, and a file without a lock are reported."""
    asked = {"venv": "torch==2\na[b]==1\nc==3", "venv-other": "d==1", "image": "torch==2\na==1"}
    locks = {"venv": "a==2", "image-cpu": "a==1", "image-cuda": "a==1"}
    assert stale(locks, asked) == ["venv-other: no lock", "venv: a==1", "venv: c==3", "image-cuda: torch==2"]


def test_make_installs_locks_alone() -> None:
    """Each `pip install` of a Makefile takes what a lock lists, and torch by its version."""
    for path in ("Makefile", "functions/Makefile"):
        text = (ROOT / path).read_text(encoding="utf-8")
        assert "pip install" in text
        assert loose_installs(text) == []


def test_a_loose_install_is_found() -> None:
    """An install without digests is reported, also when another one on its line of the file has them."""
    text = (
        "LOCKED := --require-hashes --no-deps --only-binary :all:\n\tpip install $(LOCKED) -r a.txt\n\tpip install b\n"
    )
    assert loose_installs(text) == ["pip install b"]
