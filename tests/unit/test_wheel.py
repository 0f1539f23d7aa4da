"""The wheel is built, installed where nothing else of ours is, and used there as a stranger would.

The packages that it asks for are copied from this environment, so that no registry is needed. pip then refuses to
install the wheel if it asks for one that is not there.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from importlib.metadata import Distribution, distribution
from pathlib import Path
from shutil import copyfile

import pytest
from packaging.requirements import Requirement

from glossa import __version__
from glossa.cli import COMMANDS, is_remote
from tests.house.tree import ROOT
from tests.unit.glossa.client.http_server import serving_api

PAGE = ROOT / "docs" / "python-client.md"
OTHERS = "shared functions serve local pydantic torch botocore click rich"
CALL = """
import json
from glossa.client import Client
import glossa, sys
with Client() as client:
    result = client.text_classification("The team won.", top_k=2)
    typed = [label.label for label in result.only]
print(json.dumps({"labels": typed, "file": glossa.__file__, "modules": sorted({m.split(".")[0] for m in sys.modules})}))
"""


def needed(requirements: list[str], found: dict[str, Distribution], extra: str = "") -> dict[str, Distribution]:
    """Add to `found` what requirements name, and what those packages ask for in turn."""
    for text in requirements:
        requirement = Requirement(text)
        if requirement.name in found or (requirement.marker and not requirement.marker.evaluate({"extra": extra})):
            continue
        found[requirement.name] = distribution(requirement.name)
        assert requirement.specifier.contains(found[requirement.name].version), text
        needed(found[requirement.name].requires or [], found)
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel as `make wheel` does."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    [path] = folder.iterdir()
    return path


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an empty environment, copy into it what the wheel asks for, install the wheel; return its programs."""
    folder = tmp_path_factory.mktemp("empty")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    [packages] = folder.glob("lib/python*/site-packages")
    for package in needed(metadata_of(wheel)["Requires-Dist"], {}).values():
        for file in package.files or ():
            target = packages / str(file)
            if target.resolve().is_relative_to(packages) and file.suffix != ".pyc":
                target.parent.mkdir(parents=True, exist_ok=True)
                copyfile(str(file.locate()), target)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--no-index", "--no-compile", str(wheel)], check=True)
    return folder / "bin"


def metadata_of(wheel: Path) -> dict[str, list[str]]:
    """Return the fields of the wheel's metadata."""
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        head = archive.read(name).decode().partition("\n\n")[0]
    found: dict[str, list[str]] = {}
    for line in head.splitlines():
        key, _, value = line.partition(": ")
        found.setdefault(key, []).append(value)
    return found


def run(
    programs: Path, *words: str, code: int = 0, folder: Path | None = None, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run a program of the environment outside the checkout, with nothing of it on the path."""
    kept = {"PATH": os.environ["PATH"], "HOME": str(programs)}
    command = [str(programs / words[0]), *words[1:]]
    done = subprocess.run(
        command, cwd=folder or programs, env=kept | environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    return done


def test_the_wheel_holds_the_package_alone(wheel: Path) -> None:
    """It has `glossa` with the client and the remote commands, its types and its licence, and no other package."""
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"glossa", f"glossa_xlm-{__version__}.dist-info"}
    assert {"glossa/py.typed", "glossa/client/client.py", "glossa/proxy/app.py"} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    below = {"/".join(name.split("/")[:3]) for name in names if name.startswith("glossa/commands/")}
    assert below == {"glossa/commands/__init__.py", "glossa/commands/remote"}


def test_the_wheel_asks_for_little(wheel: Path) -> None:
    """An HTTP library, and what commands need; botocore only with an extra."""
    found = metadata_of(wheel)
    always = [Requirement(text) for text in found["Requires-Dist"] if "extra ==" not in text]
    assert sorted(each.name for each in always) == ["click", "httpx2", "rich"]
    assert sorted(found["Provides-Extra"]) == ["aws", "proxy"]
    assert found["Name"] == ["glossa-xlm"]


def test_the_page_names_the_file(wheel: Path) -> None:
    """docs/python-client.md installs the file that is built, and says its needs right."""
    text = PAGE.read_text(encoding="utf-8")
    assert set(re.findall(r"glossa_xlm-[\w.-]+\.whl", text)) == {wheel.name}


def test_a_call_from_an_empty_environment(programs: Path) -> None:
    """The client imports nothing that the wheel does not bring, and gets a typed answer of the real function."""
    with serving_api() as url:
        found = json.loads(run(programs, "python", "-c", CALL, GLOSSA_API_URL=url).stdout)
    assert len(found["labels"]) == 2
    assert not found["file"].startswith(str(ROOT))
    assert not set(OTHERS.split()) & set(found["modules"])


def test_the_commands_of_the_page(programs: Path) -> None:
    """The block of docs/python-client.md that calls an API runs as it stands."""
    [block] = re.findall(r"^```sh\n(glossa .*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (programs / "reviews.csv").write_text("nr,body\n1,The team won.\n2,Prices rise.\n", encoding="utf-8")
    with serving_api() as url:
        environ = {"PATH": f"{programs}:{os.environ['PATH']}", "GLOSSA_API_URL": url}
        done = run(Path("/bin"), "bash", "-euc", block, folder=programs, **environ)
    assert json.loads(done.stdout.splitlines()[0])[0]["label"]
    assert "SUCCEEDED" in done.stderr
    assert "Usage: glossa proxy" in done.stdout


def test_the_commands_of_an_empty_environment(programs: Path) -> None:
    """`glossa` says its version and its help, and names the way for what needs a checkout."""
    assert run(programs, "glossa", "--version").stdout == f"glossa {__version__}\n"
    words = run(programs, "glossa", "--help").stdout
    assert all(name in words for name in COMMANDS)
    for name in COMMANDS:
        if is_remote(name):
            assert "Usage: glossa" in run(programs, "glossa", name, "--help").stdout
    for name in ("run", "head", "evaluate", "deploy"):
        said = run(programs, "glossa", name, "--help", code=2).stderr
        assert f"got the command {name}, which needs a checkout" in said
        assert "clone the repository" in said


def test_what_an_extra_brings_is_named(programs: Path) -> None:
    """Without botocore a signed call and the proxy say what to install."""
    url = "https://abc1.execute-api.eu-central-1.amazonaws.com/live"
    said = run(programs, "glossa", "ask", "--task", "fill-mask", "--text", "x", "--url", url, code=2).stderr
    assert "pip install botocore" in said
    assert "pip install" in run(programs, "glossa", "proxy", "--url", url, code=2).stderr
