"""Reads infra/environments/NAME.toml: one table of parameters for each stack, and [deploy] for the deployment itself.

Unknown tables and keys are refused. Must not know what the stacks hold.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Platform = Literal["cluster", "instances"]
Builder = Literal["docker", "finch", "podman"]
ORDER: Mapping[Platform, tuple[str, ...]] = {
    "cluster": ("weights", "network", "cluster", "service", "observability"),
    "instances": ("weights", "network", "instances", "service", "observability"),
}
STACKS = ("weights", "network", "cluster", "instances", "service", "observability")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,19}")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DeploySettings(_Frozen):
    """How an environment is deployed.

    `glossa deploy` asks for what is empty in the file. `certificate_arn` is for the load balancer of a cluster.
    `base_digest` is the digest of the image that ours starts from. Nobody else knows which one you trust. `values` fill
    the `${NAME}` of the Kubernetes manifests that nothing else fills.
    """

    region: str = Field(pattern=r"^([a-z]{2}(-[a-z]+)+-\d)?$")
    platform: Platform
    catalog: Path = Path("catalog.toml")
    certificate_arn: str = ""
    image_builder: Builder = "docker"
    base_digest: str = ""
    values: Mapping[str, str] = {}


class Environment(_Frozen):
    """One environment: its name, how it is deployed, and the parameters of each of its stacks."""

    name: str
    deploy: DeploySettings
    parameters: Mapping[str, Mapping[str, str]]

    @property
    def stacks(self) -> tuple[str, ...]:
        """The stacks of this environment, in the order in which they are created."""
        return ORDER[self.deploy.platform]

    def stack_name(self, stack: str) -> str:
        """Return the name of a stack in the account."""
        return f"glossa-{self.name}-{stack}"


def load_environment(path: Path) -> Environment:
    """Read an environment file; its name is that of the file. Raises ValueError that names each wrong key."""
    name = path.stem
    if not _NAME.fullmatch(name):
        raise ValueError(f"got environment {name!r}, expected a name of a-z, 0-9 and - that begins with a letter")
    if not path.is_file():
        known = sorted(each.stem for each in path.parent.glob("*.toml"))
        raise ValueError(f"got environment {name!r}, expected one of {known}: there is no file {path}")
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is no TOML: {error}") from None
    deploy = raw.pop("deploy", {})
    if unknown := sorted(set(raw) - set(STACKS)):
        raise ValueError(f"{path}: got table {unknown[0]!r}, expected deploy or one of {list(STACKS)}")
    try:
        parameters = {
            stack: {key: _text(path, stack, key, value) for key, value in table.items()} for stack, table in raw.items()
        }
        return Environment.model_validate({"name": name, "deploy": deploy, "parameters": parameters})
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']} (got {e['input']!r})" for e in error.errors())
        raise ValueError(f"{path}: {faults}") from None


def _text(path: Path, stack: str, key: str, value: Any) -> str:
    """Return a parameter as CloudFormation takes it: text; a list is joined by commas."""
    if isinstance(value, list) and all(isinstance(each, str | int) for each in value):
        return ",".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    raise ValueError(f"{path}: got {stack}.{key} of type {type(value).__name__}, expected text, a number or a list")
