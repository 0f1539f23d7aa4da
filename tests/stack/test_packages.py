"""The packages of the Lambda functions: right architecture and ABI, small, and without the heavy libraries."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path

import pytest

from local.workspace import ROOT
from tests.stack.conftest import RunningStack

pytestmark = pytest.mark.stack
ELF_MACHINES = {"arm64": 0xB7, "x86_64": 0x3E}
TRIPLES = {"arm64": "aarch64", "x86_64": "x86_64"}
MAX_BYTES = 80_000_000
BANNED = {"torch", "ray", "transformers", "numpy", "boto3", "botocore", "huggingface_hub"}
# Powertools imports `botocore` itself to set its user agent. Only `botocore.session` costs 300 ms.
SLOW = BANNED - {"botocore"} | {"botocore.session"}
LAMBDAS = ("infer", "jobs", "plan", "work", "finalize", "sweep", "notify")  # these are packed alike
WITHOUT_MODELS = {"AuthorizeFunction", "SmokeFunction"}


def size(folder: Path) -> int:
    """Return the number of bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


LAYERS = {"DependencyLayer": "requirements", "AuthorizerLayer": "requirements-authorize"}


@pytest.fixture(scope="module", params=["arm64", "x86_64"])
def layers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Path]]:
    """Build both layers of the Lambda runtime for one architecture; return their folders by name."""
    built = {}
    for name in LAYERS:
        out = tmp_path_factory.mktemp(f"{name}-{request.param}")
        env = {
            **os.environ, "GLOSSA_TARGET": "lambda", "GLOSSA_ARCHITECTURE": request.param,
            "GLOSSA_PYTHON": str(ROOT / ".venv/bin/python"), "ARTIFACTS_DIR": str(out),
        }  # fmt: skip
        subprocess.run(["make", "-C", "functions", f"build-{name}"], cwd=ROOT, env=env, check=True, capture_output=True)
        built[name] = out / "python"
    return request.param, built


@pytest.fixture(scope="module", params=list(LAYERS))
def layer(request: pytest.FixtureRequest, layers: tuple[str, dict[str, Path]]) -> tuple[str, Path]:
    """Return the folder of one layer."""
    return layers[0], layers[1][request.param]


def test_compiled_code_is_of_the_runtimes_machine_and_abi(layer: tuple[str, Path]) -> None:
    """Every shared library is ELF of the architecture, for CPython 3.13 or the stable ABI."""
    architecture, folder = layer
    libraries = sorted(folder.rglob("*.so*"))
    assert libraries
    for path in libraries:
        head = path.read_bytes()[:20]
        assert head[:5] == b"\x7fELF\x02", path.name
        assert struct.unpack_from("<H", head, 18)[0] == ELF_MACHINES[architecture], path.name
        if not path.parent.name.endswith(".libs"):
            assert path.name.endswith((f".cpython-313-{TRIPLES[architecture]}-linux-gnu.so", ".abi3.so")), path.name


def test_wheels_run_on_the_runtimes_libc(layer: tuple[str, Path]) -> None:
    """No wheel needs a newer glibc than the runtime's, which is 2.34."""
    tags = [
        line
        for path in layer[1].glob("*.dist-info/WHEEL")
        for line in path.read_text().splitlines()
        if line.startswith("Tag: ")
    ]
    needed = {int(tag.split("manylinux_2_")[1].split("_")[0]) for tag in tags if "manylinux_2_" in tag}
    assert tags
    assert needed
    assert max(needed) <= 34


@pytest.mark.parametrize("name", LAYERS)
def test_the_layer_is_the_list(name: str, layers: tuple[str, dict[str, Path]]) -> None:
    """The layer has each package of its list in its version, and no other."""
    lines = (ROOT / f"functions/{LAYERS[name]}.in").read_text().splitlines()
    wanted = {line.replace("==", "-") for line in lines if not line.startswith("#")}
    found = layers[1][name].glob("*.dist-info")
    assert {path.name.removesuffix(".dist-info").replace("_", "-").lower() for path in found} == wanted


def test_the_layer_holds_nothing_heavy(layer: tuple[str, Path]) -> None:
    """The layer has no model library, no numpy, and nothing that the runtime already has."""
    assert not {path.name for path in layer[1].iterdir()} & BANNED


def test_layer_and_code_stay_small(layers: tuple[str, dict[str, Path]], running: RunningStack) -> None:
    """A function with its layers has at most 80 MB, unzipped."""
    for package in running.workspace.build.glob("*Function"):
        names = LAYERS if package.name == "AuthorizeFunction" else ["DependencyLayer"]
        assert size(package) + sum(size(layers[1][name]) for name in names) <= MAX_BYTES, package.name


def test_a_package_holds_the_code_the_catalog_and_the_tokenizers(running: RunningStack) -> None:
    """Each package has functions/, shared/, the catalog and the tokenizers, but no build files and no byte code."""
    packages = sorted(running.workspace.build.glob("*Function"))
    assert len(packages) == len(LAMBDAS) + len(WITHOUT_MODELS)
    for package in packages:
        of_models = {"catalog.toml", "artifacts"} if package.name not in WITHOUT_MODELS else set()
        assert {path.name for path in package.iterdir()} == {"functions", "shared"} | of_models
        assert bool(list(package.glob("artifacts/*/tokenizer.json"))) == bool(of_models)
        assert not list(package.rglob("*.pyc"))
        assert not (package / "functions" / "Makefile").exists()


@pytest.mark.parametrize("module", LAMBDAS)
def test_a_handler_starts_from_package_and_layer_alone(module: str, running: RunningStack) -> None:
    """A handler imports with only its package, the layer and boto3 on the path, and loads no heavy library."""
    name = f"{module.capitalize()}Function"
    (function,) = [
        f for f in running.client("lambda").list_functions()["Functions"] if f"-{name}-" in f["FunctionName"]
    ]
    folders = [str(running.workspace.build / folder) for folder in ("DependencyLayer/python", name)]
    program = (
        f"import sys; sys.path[:0] = {folders!r}\n"
        f"import functions.lambdas.{module} as module\n"
        f"print(sorted(set(sys.modules) & {SLOW!r}), module.__file__)"
    )
    env = {**function["Environment"]["Variables"], "AWS_DEFAULT_REGION": "us-east-1"}
    done = subprocess.run(
        [running.workspace.python(".venv-local"), "-P", "-c", program],
        env=env,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    code = running.workspace.build / name / "functions" / "lambdas" / f"{module}.py"
    assert done.stdout.split() == ["[]", str(code)]
