"""Reads infra/environments/NAME.toml: one table of parameters for each stack, and [deploy] for the deployment itself.

Unknown tables and keys are refused. Must not know what the stacks hold.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Platform = Literal["cluster", "instances"]
Builder = Literal["docker", "finch", "podman"]
ORDER: Mapping[Platform, tuple[str, ...]] = {
    "cluster": ("weights", "network", "cluster", "service", "observability"),
    "instances": ("weights", "network", "instances", "service", "observability"),
}
STACKS = ("weights", "network", "cluster", "instances", "service", "observability")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,19}")
_CHANGED_BY_SAM = re.compile(r"\\(?:[ \"']|\Z)|ParameterKey=")

# What a manifest may hold in the place of a name: no line break, quote or other mark that means something in YAML
ManifestText = Annotated[str, Field(pattern=r"^([A-Za-z0-9/$][A-Za-z0-9_.,/:@=+${}-]*)?$")]


@dataclass(frozen=True, slots=True)
class Missing:
    """One thing that a deployment would miss: what was found, what is expected, and what to do."""

    found: str
    expected: str
    way_forward: str

    def __str__(self) -> str:
        """Return it as one sentence."""
        return f"got {self.found}, expected {self.expected}; {self.way_forward}"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DeploySettings(_Frozen):
    """How an environment is deployed.

    `glossa deploy` asks for what is empty in the file. `certificate_arn` is for the load balancer.
    `base_digest` is the digest of the image that ours starts from. Nobody else knows which one you trust. `values` fill
    the `${NAME}` of the Kubernetes manifests that nothing else fills. `torch_index_url` and `torch_sha256` name torch's
    small build for CPUs; without them the image has the build for CUDA, which is gigabytes larger.
    """

    region: str = Field(pattern=r"^([a-z]{2}(-[a-z]+)+-\d)?$")
    platform: Platform
    catalog: Path = Path("catalog.toml")
    certificate_arn: ManifestText = ""
    image_builder: Builder = "docker"
    base_digest: str = ""
    torch_index_url: str = Field(default="", pattern=r"^(https://\S+)?$")
    torch_sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    values: Mapping[str, ManifestText] = {}


class Environment(_Frozen):
    """One environment: its name, how it is deployed, and the parameters of each of its stacks."""

    name: str
    deploy: DeploySettings
    parameters: Mapping[str, Mapping[str, str]]

    @property
    def stacks(self) -> tuple[str, ...]:
        """The stacks of this environment, in the order in which they are created."""
        return ORDER[self.deploy.platform]

    @property
    def file(self) -> str:
        """The file that holds it, as messages name it."""
        return f"infra/environments/{self.name}.toml"

    def value(self, stack: str, name: str, default: str = "") -> str:
        """Return a parameter that the file gives, and `default` where it gives none or an empty text."""
        return self.parameters.get(stack, {}).get(name) or default

    def stack_name(self, stack: str) -> str:
        """Return the name of a stack in the account. Policies of the network name resources by it."""
        return f"{self.name_prefix}-{stack}"

    @property
    def name_prefix(self) -> str:
        """The start of the names of all resources: `[weights] NamePrefix`, which the other stacks take from it."""
        return self.parameters.get("weights", {}).get("NamePrefix") or f"glossa-{self.name}"


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
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is no TOML: {error}") from None
    deploy = raw.pop("deploy", {})
    if unknown := sorted(set(raw) - set(STACKS)):
        raise ValueError(f"{path}: got table {unknown[0]!r}, expected deploy or one of {list(STACKS)}")
    if wrong := [stack for stack, table in raw.items() if not isinstance(table, dict)]:
        raise ValueError(f"{path}: got {wrong[0]} that is no table, expected [{wrong[0]}] with parameters")
    if elsewhere := [stack for stack, table in raw.items() if "NamePrefix" in table and stack != "weights"]:
        raise ValueError(f"{path}: got {elsewhere[0]}.NamePrefix, expected it in [weights] alone: stacks have its name")
    try:
        parameters = {
            stack: {key: _text(path, stack, key, value) for key, value in table.items()} for stack, table in raw.items()
        }
        return Environment.model_validate({"name": name, "deploy": deploy, "parameters": parameters})
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']} (got {e['input']!r})" for e in error.errors())
        raise ValueError(f"{path}: {faults}") from None


def _text(path: Path, stack: str, key: str, value: Any) -> str:
    """Return a parameter as CloudFormation takes it: text; a list is joined by commas.

    Raises ValueError for what it cannot be, and for a text that SAM's command line would change.
    """
    parts = [_scalar(each) for each in value] if isinstance(value, list) else [_scalar(value)]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts) or (isinstance(value, list) and any("," in part for part in known)):
        wanted = "text, a finite number, true, false or a list of these without commas in them"
        raise ValueError(f"{path}: got {stack}.{key} of type {type(value).__name__}, expected {wanted}")
    text = ",".join(known)
    if _CHANGED_BY_SAM.search(text):
        wanted = r"no \ before a space, a quote or the end, and no ParameterKey="
        raise ValueError(f"{path}: got {stack}.{key} with a text that SAM would change, expected {wanted}")
    return text


def _scalar(value: Any) -> str | None:
    """Return one value as text, None when it is no text, finite number or truth value."""
    if isinstance(value, bool):
        return str(value).lower()
    is_number = isinstance(value, int | float) and math.isfinite(value)
    return str(value) if is_number or isinstance(value, str) else None
