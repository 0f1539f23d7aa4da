"""`glossa artifacts`: writes the tokenizers of a catalog as files that are packed with the functions.

Each model gets `{out}/{model}/tokenizer.json`. Beside it lies its prebuilt form if the kernel supports the tokenizer.
`{out}` also gets the kernels and `manifest.json`. Must not know the Lambdas.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import click

from functions.tokenizers.memory_mapped import file_format
from functions.tokenizers.memory_mapped.kernel import Kernel, kernel_name
from functions.tokenizers.xlm.artifact import is_artifact
from glossa.commands.arguments import catalog_option, examples, open_catalog
from glossa.tokenizer_build import code_points, kernel_rules, prebuilt
from glossa.tokenizer_build.checkpoints import artifact_of, check_digest, folder_of
from glossa.tokenizer_build.kernel import SOURCE, compile_kernels
from glossa.tokenizer_build.reference import TOKENIZER
from shared.catalog import Catalog

KERNELS = "kernels"
Entry = dict[str, object]


@click.command(
    "artifacts",
    help="Write the tokenizer files that are packed with the functions.",
    epilog=examples("glossa artifacts", "glossa artifacts --catalog other.toml --out build/other"),
)
@catalog_option
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="build/artifacts",
    metavar="FOLDER",
    show_default=True,
    help="Where to write them.",
)
def artifacts_command(*, catalog_path: Path, out: Path) -> int:
    """Run the command; return its exit code."""
    for path in write_artifacts(open_catalog(catalog_path), catalog_path.parent, out):
        print(path)
    return 0


def _print_warning(text: str) -> None:
    print(text, file=sys.stderr)


def write_artifacts(
    catalog: Catalog, root: Path, out: Path, *, warn: Callable[[str], object] = _print_warning
) -> list[Path]:
    """Write the artifact of every model, and the manifest last; return the path of each tokenizer.json.

    Files that are already right are not written again. `warn` gets the reason when a tokenizer has no prebuilt form.
    Raises ValueError when an artifact is not the one that the catalog names.
    """
    kernels = compile_kernels(out / KERNELS)
    written = []
    models: dict[str, Entry] = {}
    for name, model in catalog.models.items():
        artifact = artifact_of(folder_of(model.checkpoint, root), model.tokenizer_sha256)
        check_digest(model, sha256(artifact).hexdigest())
        path = out / name / TOKENIZER
        if not path.is_file() or path.read_bytes() != artifact:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(artifact)
        models[name] = _entry(out, path)
        if (made := _prebuilt(name, artifact, path.with_name(file_format.NAME), kernels, warn)) is not None:
            models[name]["prebuilt"] = _entry(out, made)
        written.append(path)
    manifest = {"models": models, "kernels": {path.name: _entry(out, path) for path in kernels}}
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return written


def _prebuilt(
    name: str, artifact: bytes, path: Path, kernels: list[Path], warn: Callable[[str], object]
) -> Path | None:
    """Make the prebuilt form of a tokenizer unless it is there; return its path.

    Returns None, and removes an older one, when the kernel does not support the tokenizer.
    """
    own = next((kernel for kernel in kernels if kernel.name == kernel_name()), None)
    if own is None or is_artifact(artifact):
        path.unlink(missing_ok=True)
        if own is None:
            warn(f"{name}: no prebuilt form: no compiler (pip install ziglang) for the kernel of this machine")
        return None
    build_digest = _build_digest()
    if path.is_file() and _made_by(path) == (sha256(artifact).hexdigest(), build_digest):
        return path
    path.unlink(missing_ok=True)
    try:
        path.write_bytes(prebuilt.prebuild(artifact, Kernel(own), build_digest=build_digest))
    except ValueError as reason:
        warn(f"{name}: {reason}; functions read it by the tokenizers library")
        return None
    return path


def _build_digest() -> str:
    """Return a digest of all that a prebuilt form depends on, except its tokenizer.json."""
    sources = [SOURCE, *(Path(str(module.__file__)) for module in (code_points, kernel_rules, prebuilt, file_format))]
    versions = [f"{name}=={version(name)}".encode() for name in ("tokenizers", "regex")]
    return sha256(b"\0".join([*versions, *(path.read_bytes() for path in sources)])).hexdigest()


def _made_by(path: Path) -> tuple[str, str] | None:
    try:
        facts = file_format.map_file(path).facts
    except ValueError:
        return None
    return facts["source_sha256"], facts["recipe"]


def _entry(out: Path, path: Path) -> Entry:
    content = path.read_bytes()
    return {"path": path.relative_to(out).as_posix(), "sha256": sha256(content).hexdigest(), "bytes": len(content)}
