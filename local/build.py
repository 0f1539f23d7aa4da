"""Builds the packages of the Lambdas with `sam build`, for the Lambda runtime or for this machine.

`make build` calls it as a program. Environment variables choose what is built: GLOSSA_TARGET is lambda or host,
GLOSSA_ARCHITECTURE is arm64 or x86_64, GLOSSA_CATALOG is a catalog file. Must not know what runs the packages.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from glossa.deployment.steps import digest_of
from local.workspace import Workspace, this_workspace, write_json

MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}
SOURCES = ("template.yaml", "catalog.toml", "functions", "shared", "build/artifacts", "replica-ca.pem")
CATALOG = "catalog.toml"
BUILD_S = 600.0
ARTIFACTS_S = 300.0


def architecture() -> str:
    """Return this machine's type, as the template names it. Raises RuntimeError for a type that it does not name."""
    machine = platform.machine().lower()
    if machine not in MACHINES:
        raise RuntimeError(f"this machine is {machine}, expected one of {sorted(MACHINES)}")
    return MACHINES[machine]


def digest(root: Path, names: Sequence[str] = SOURCES) -> str:
    """Return the sha256 of the names and bytes of files and folders; by default of all that packages are made of."""
    return digest_of(root, names)


def make_artifacts(workspace: Workspace, catalog: Path | None = None) -> None:
    """Build the tokenizer artifact of each catalog model. Raises RuntimeError with the command's own message."""
    path = str(catalog or workspace.root / CATALOG)
    command = [sys.executable, "-m", "glossa", "artifacts", "--catalog", path, "--out", "build/artifacts"]
    done = subprocess.run(command, cwd=workspace.root, capture_output=True, text=True, check=False, timeout=ARTIFACTS_S)
    if done.returncode != 0:
        raise RuntimeError(f"glossa artifacts failed: {done.stderr.strip() or done.stdout.strip()}")


def build(workspace: Workspace, target: str, machine: str, out: Path, catalog: Path | None = None) -> Path:
    """Build all packages into `out`; return the path of the built template.

    `target` is lambda or host, `machine` is arm64 or x86_64. `catalog` is that of the checkout by default. Raises
    RuntimeError with sam's last lines.
    """
    command: list[str | Path] = [
        "build",
        "--build-in-source",
        "--template-file",
        workspace.root / "template.yaml",
        "--build-dir",
        out,
    ]
    extra = {
        "GLOSSA_TARGET": target,
        "GLOSSA_ARCHITECTURE": machine,
        "GLOSSA_CATALOG": str(catalog or workspace.root / CATALOG),
        "GLOSSA_PYTHON": str(workspace.python(".venv-local" if target == "host" else ".venv")),
    }
    sam(workspace, command, extra, BUILD_S)
    return out / "template.yaml"


def sam(workspace: Workspace, arguments: Sequence[str | Path], extra: dict[str, str], limit_s: float) -> str:
    """Run the SAM command line without telemetry and its check for a newer version; return its output.

    `extra` is added to its environment. Raises RuntimeError with its last lines when it fails.
    """
    folder = workspace.state / "sam"
    folder.mkdir(exist_ok=True)
    # Without this note of a recent check, sam asks the package index for its newest version.
    write_json(folder / "metadata.json", {"telemetryEnabled": False, "lastVersionCheck": time.time()})
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON", "SAM_"))}
    env |= {"SAM_CLI_TELEMETRY": "0", "__SAM_CLI_APP_DIR": str(folder), "AWS_DEFAULT_REGION": "us-east-1", **extra}
    done = subprocess.run(
        [str(workspace.python(".venv-sam").with_name("sam")), *map(str, arguments)],
        cwd=workspace.root, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit_s,
        check=False,
    )  # fmt: skip
    (workspace.log / f"sam-{arguments[0]}.log").write_text(done.stdout + done.stderr, encoding="utf-8")
    if done.returncode != 0:
        raise RuntimeError(f"sam {arguments[0]} failed:\n" + "\n".join((done.stdout + done.stderr).splitlines()[-20:]))
    return done.stdout


def main() -> None:
    """Build what the environment chooses into .aws-sam/build, where `sam deploy` looks."""
    workspace = this_workspace()
    target = os.environ.get("GLOSSA_TARGET", "lambda")
    machine = os.environ.get("GLOSSA_ARCHITECTURE", "arm64") if target == "lambda" else architecture()
    catalog = Path(os.environ.get("GLOSSA_CATALOG", workspace.root / CATALOG)).resolve()
    make_artifacts(workspace, catalog)
    built = build(workspace, target, machine, workspace.root / ".aws-sam" / "build", catalog)
    print(f"built for {target} on {machine}: {built.parent}")


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as error:
        sys.exit(str(error))
