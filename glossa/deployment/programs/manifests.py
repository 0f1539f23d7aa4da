"""Fills the `${NAME}` of the Kubernetes manifests with the facts of a deployment.

    python -m glossa.deployment.programs.manifests --from FOLDER --out FOLDER --catalog FILE [--value NAME=VALUE]...

The catalog becomes a ConfigMap beside them, whose name has the digest of the catalog. So pods that run keep theirs.

Must not know what a manifest means.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from glossa.deployment.names import APP_LABEL, CATALOG_FILE, NAMESPACE
from glossa.deployment.steps import fill, names_in
from serve.manifests.pods import catalog_map


def placeholders(folder: Path) -> set[str]:
    """Return every name that the manifests of a folder ask for."""
    return {name for path in folder.glob("*.yaml") for name in names_in(path.read_text(encoding="utf-8"))}


def fill_folder(folder: Path, out: Path, values: Mapping[str, str]) -> list[Path]:
    """Write every manifest of a folder, filled, into an empty folder `out`; return their paths.

    Raises ValueError that names what is not known, before anything is written.
    """
    texts = {}
    for path in sorted(folder.glob("*.yaml")):
        try:
            texts[path.name] = fill(path.read_text(encoding="utf-8"), values)
        except ValueError as error:
            missing = str(error).rpartition("expected values for ")[2]
            raise ValueError(f"{path.name}: expected values for {missing}") from None
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for name, text in texts.items():
        (out / name).write_text(text, encoding="utf-8")
    return [out / name for name in texts]


def config_map(catalog: bytes) -> str:
    """Return the ConfigMap that holds a catalog, as JSON, which is YAML too. Nothing can change it afterwards."""
    sha256 = hashlib.sha256(catalog).hexdigest()
    labels = {**APP_LABEL, "glossa-part": "catalog"}
    metadata = {"name": catalog_map(sha256), "namespace": NAMESPACE, "labels": labels}
    made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "immutable": True}
    return json.dumps({**made, "data": {CATALOG_FILE: catalog.decode("utf-8")}}, indent=2) + "\n"


def main() -> int:
    """Fill a folder; return 0, or 1 with what is missing."""
    parser = argparse.ArgumentParser(prog="python -m glossa.deployment.programs.manifests")
    parser.add_argument("--from", dest="source", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--catalog", type=Path, required=True)
    parser.add_argument("--value", action="append", default=[], metavar="NAME=VALUE")
    asked = parser.parse_args()
    values = dict(pair.split("=", 1) for pair in asked.value)
    try:
        for path in fill_folder(asked.source, asked.out, values):
            print(path)
        (asked.out / "catalog.yaml").write_text(config_map(asked.catalog.read_bytes()), encoding="utf-8")
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
