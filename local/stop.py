"""`glossa stop` and `make stop`: ends what was started from this checkout, and no other process."""

from __future__ import annotations

from local import model_server, stack
from local.ports import release
from local.workspace import Workspace


def stop(workspace: Workspace, *, forget: bool = False) -> list[str]:
    """End the emulator and Ray Serve of a workspace; return which of them ran.

    With `forget`, also remove what the emulator has stored: buckets, tables, queues, and the deployed stack.
    """
    parts = ("emulator", stack.down(workspace, forget=forget)), ("Ray Serve", model_server.stop(workspace))
    release(workspace)
    return [name for name, ran in parts if ran]
