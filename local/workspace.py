"""Where one stack of a checkout keeps its folders: everything it writes lies under one home.

Two homes are two stacks that do not see each other; a test makes its own. Knows no process and no port.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Workspace:
    """A stack's folders. `root` is the checkout it runs, `home` holds run/, log/ and all state."""

    root: Path
    home: Path

    @property
    def run(self) -> Path:
        """Folder of pid files, ports and addresses; made when asked for."""
        return self._folder("run")

    @property
    def log(self) -> Path:
        """Folder of logs; made when asked for."""
        return self._folder("log")

    @property
    def state(self) -> Path:
        """Folder of what the emulator keeps; made when asked for."""
        return self._folder("state")

    @property
    def build(self) -> Path:
        """Folder of what `sam build` makes for this stack."""
        return self._folder("build") / "packages"

    def python(self, environment: str) -> Path:
        """Return the interpreter of one of the checkout's environments, `.venv-local` for example."""
        return self.root / environment / "bin" / "python"

    def _folder(self, name: str) -> Path:
        path = self.home / name
        path.mkdir(parents=True, exist_ok=True)
        return path


def this_workspace(home: Path | None = None) -> Workspace:
    """Return the workspace of this checkout, at `home`, else at the folder in GLOSSA_HOME, else at `.local/`."""
    return Workspace(ROOT, (home or Path(os.environ.get("GLOSSA_HOME", ROOT / ".local"))).resolve())


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that a reader never sees half of it."""
    fresh = path.with_suffix(path.suffix + ".new")
    fresh.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    fresh.replace(path)


def read_json(path: Path) -> Any:
    """Read JSON; None when the file is absent or cut."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
