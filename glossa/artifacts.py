"""`glossa artifacts`: the tokenizers of a catalog, as files that the functions carry.

Writes `{out}/{model}/tokenizer.json` and `{out}/manifest.json`. Must not know functions.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

from glossa.checkpoints import TOKENIZER, artifact_of, check_digest, folder_of
from shared.catalog import Catalog


def write_artifacts(catalog: Catalog, root: Path, out: Path) -> list[Path]:
    """Write the artifact of every model, and the manifest last; what is already right stays untouched.

    Raises ValueError when an artifact is not the one the catalog names.
    """
    written = []
    manifest: dict[str, dict[str, object]] = {}
    for name, model in catalog.models.items():
        artifact = artifact_of(folder_of(model.checkpoint, root))
        digest = sha256(artifact).hexdigest()
        check_digest(model, digest)
        path = out / name / TOKENIZER
        if not path.is_file() or path.read_bytes() != artifact:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(artifact)
        manifest[name] = {"path": f"{name}/{TOKENIZER}", "sha256": digest, "bytes": len(artifact)}
        written.append(path)
    out.mkdir(parents=True, exist_ok=True)
    (out / "manifest.json").write_text(json.dumps({"models": manifest}, indent=1) + "\n", encoding="utf-8")
    return written
