"""`make stop`: ends what `make run` started from this checkout, and no other process."""

from __future__ import annotations

import sys

from local import model_server, stack
from local.ports import release
from local.workspace import this_workspace


def main() -> int:
    """End the emulator and Ray Serve of this checkout; return 0."""
    workspace = this_workspace()
    ended = [
        name for name, ran in (("emulator", stack.down(workspace)), ("Ray Serve", model_server.stop(workspace))) if ran
    ]
    release(workspace)
    print(f"stopped: {', '.join(ended)}" if ended else "nothing was running")
    return 0


if __name__ == "__main__":
    sys.exit(main())
