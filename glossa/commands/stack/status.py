"""`glossa status`: which parts of the local stack run, at which ports, how they are, and the states of the models.

Must not know how a part is started.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from glossa.commands.arguments import examples
from glossa.commands.stack.options import home_option, json_option

if TYPE_CHECKING:
    from local.workspace import Workspace

READY, NOT_READY = 0, 1
PartState = Literal["ready", "starting", "stopped"]


@dataclass(frozen=True, slots=True)
class Part:
    """A process of the stack. `starting` also means that it runs and does not answer its health check."""

    name: str
    state: PartState
    pid: int | None = None
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """The stack of one workspace. `api` is None until it is deployed; a model's state is `ready` or what it says."""

    home: str
    api: str | None
    parts: tuple[Part, ...]
    models: Mapping[str, str]

    @property
    def is_ready(self) -> bool:
        """Whether requests can be answered: all parts and models are ready."""
        states = [*(part.state for part in self.parts), *self.models.values()]
        return self.api is not None and set(states) == {"ready"}


@click.command(
    "status",
    help="Show the parts of the local stack, and its models. The exit code is 1 unless all of them are ready.",
    epilog=examples("glossa status", "glossa status --json"),
)
@home_option
@json_option
def status_command(*, home: Path | None, as_json: bool) -> int:
    """Run the command; return its exit code."""
    from local.workspace import this_workspace  # noqa: PLC0415 - the product works without `local`

    found = status_of(this_workspace(home))
    print(json.dumps({**asdict(found), "ready": found.is_ready}) if as_json else "\n".join(lines(found)))
    return READY if found.is_ready else NOT_READY


def status_of(workspace: Workspace) -> Status:
    """Ask each part of the stack of a workspace how it is."""
    from local import emulator, model_server, processes, stack  # noqa: PLC0415 - the product works without `local`

    running = stack.running_stack(workspace)
    parts = []
    for name, key, address, is_up in (
        ("AWS emulator", emulator.NAME, emulator.endpoint, emulator.healthy),
        ("model server", model_server.NAME, model_server.address, model_server.is_up),
    ):
        if (pid := processes.alive(workspace, key)) is None:
            parts.append(Part(name, "stopped"))
        else:
            parts.append(Part(name, "ready" if is_up(workspace) else "starting", pid, address(workspace)))
    models = model_server.model_states(workspace) if parts[1].pid is not None else {}
    return Status(str(workspace.home), running.api_url if running else None, tuple(parts), models)


def lines(status: Status) -> list[str]:
    """Return what people read of a stack."""
    found = [f"{'API':<14} {status.api or 'not deployed'}"]
    for part in status.parts:
        where = f"   pid {part.pid}   {part.address}" if part.pid is not None else ""
        found.append(f"{part.name:<14} {part.state:<9}{where}".rstrip())
    found += [f"{'model ' + name:<14} {state}" for name, state in status.models.items()]
    if not status.is_ready:
        found.append("`glossa up` starts what does not run; `glossa logs` shows why a part is not ready")
    return found
