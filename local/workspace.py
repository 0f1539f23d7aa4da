"""The workspace of one stack: the folder that holds everything the stack writes.

Two workspaces are two stacks, which do not see each other; a test makes its own. Must not know processes and ports.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.call_keys import write_key_file

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Workspace:
    """The folders of a stack. `root` is the checkout whose code it runs; `home` holds run/, log/ and all state."""

    root: Path
    home: Path

    @property
    def run(self) -> Path:
        """The folder of pid files, ports and addresses. It is made when it is first read."""
        return self._folder("run")

    @property
    def log(self) -> Path:
        """The folder of logs. It is made when it is first read."""
        return self._folder("log")

    @property
    def state(self) -> Path:
        """The folder of the emulator's stored state. It is made when it is first read."""
        return self._folder("state")

    @property
    def build(self) -> Path:
        """The folder that `sam build` fills for this stack."""
        return self._folder("build") / "packages"

    @property
    def call_keys(self) -> Path:
        """The file of the keys that sign calls to the model server. It is made for its owner alone, when first read."""
        path = self.run / "call-keys.json"
        write_key_file(path)
        return path

    def python(self, environment: str) -> Path:
        """Return the interpreter of an environment of the checkout, `.venv-local` for example."""
        return self.root / environment / "bin" / "python"

    def _folder(self, name: str) -> Path:
        path = self.home / name
        path.mkdir(parents=True, exist_ok=True)
        return path


def this_workspace(home: Path | None = None) -> Workspace:
    """Return the workspace of this checkout, at `home`, else at the folder in GLOSSA_HOME, else at `.local/`."""
    return Workspace(ROOT, (home or Path(os.environ.get("GLOSSA_HOME", ROOT / ".local"))).resolve())


def write_json(path: Path, value: Any) -> None:
    """Write JSON in such a way that no reader sees half a file."""
    fresh = path.with_suffix(path.suffix + ".new")
    fresh.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    fresh.replace(path)


def read_json(path: Path) -> Any:
    """Read JSON; return None when the file is missing or incomplete."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
