"""The layer's list is exact, sealed by digests, and what the tests run on."""

from __future__ import annotations

import re
from importlib.metadata import requires, version

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.unit.template import ROOT

# Named by a package of the list, but only for features we do not use; with the reason.
LEFT_OUT = {
    ("tokenizers", "huggingface-hub"): "only Tokenizer.from_pretrained asks the hub",
    ("sacremoses", "click"): "only its command line",
}


# the layer's own, each segmenter's, and that of the authorizer's layer
LISTS = ("requirements", "requirements-zh", "requirements-th", "requirements-authorize")


def pins(name: str = "requirements") -> dict[str, str]:
    """Return the version of each package on a list."""
    lines = (ROOT / f"functions/{name}.in").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


@pytest.mark.parametrize("name", LISTS)
def test_every_package_is_sealed(name: str) -> None:
    """Each pin stands in the .txt of its list with digests of its files, and nothing else does."""
    text = (ROOT / f"functions/{name}.txt").read_text(encoding="utf-8")
    sealed = dict(re.findall(r"^([a-z0-9-]+)==(\S+) \\\n    --hash=sha256:[0-9a-f]{64}", text, flags=re.MULTILINE))
    assert sealed == pins(name)
    assert len(re.findall("==", text)) == len(sealed)


@pytest.mark.parametrize("name", LISTS)
def test_the_list_is_what_the_tests_run_on(name: str) -> None:
    """Tests import the very versions that are shipped."""
    assert {package: version(package) for package in pins(name)} == pins(name)


def test_the_list_is_complete() -> None:
    """Whatever a package of the two layers needs on Linux and Python 3.13 is in them too."""
    all_pins = pins() | pins("requirements-authorize")
    for name in all_pins:
        for wanted in map(Requirement, requires(name) or []):
            needed = wanted.marker is None or wanted.marker.evaluate({"extra": "", "python_version": "3.13"})
            if needed and (name, canonicalize_name(wanted.name)) not in LEFT_OUT:
                assert canonicalize_name(wanted.name) in all_pins, f"{name} needs {wanted}"
