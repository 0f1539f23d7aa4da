"""What is deployed: an environment, its images, and the folder of what the deployment makes.

Pure. Must not know steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from glossa.deployment.environment import Environment

# The outputs of stacks that manifests may ask for.
OUTPUTS = (
    "NamePrefix", "NodeRoleName", "ClusterSecurityGroupId", "LoadBalancerSecurityGroupId", "SubnetIds",
    "CollectorLogGroupName",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Target:
    """What is deployed.

    `gpu` says whether any replica takes one. `tag` is the tag of the image, and `operator_tag` that of Ray's operator.
    `vpc_cidr` is the range of the network.
    """

    environment: Environment
    gpu: bool
    tag: str
    operator_tag: str
    vpc_cidr: str

    @property
    def work(self) -> Path:
        """The folder of what the deployment makes, relative to the checkout."""
        return Path("build") / "deploy" / self.environment.name

    @property
    def catalog(self) -> Path:
        """The catalog that the replicas read: its checkpoints are in the bucket."""
        return self.work / "catalog.toml"

    @property
    def notes(self) -> Path:
        """The file in which programs note facts."""
        return self.work / "facts.json"

    @property
    def images(self) -> Mapping[str, str]:
        """The images to build: the target of the Dockerfile, and the address with its tag."""
        kinds = ["cuda"] if self.gpu and self.environment.deploy.platform == "instances" else ["cpu"]
        if self.gpu and self.environment.deploy.platform == "cluster":
            kinds.append("cuda")
        return {kind: f"${{ImageRepositoryUri}}:{self.tag}-{kind}" for kind in kinds}

    @property
    def manifest_values(self) -> Mapping[str, str]:
        """The names that manifests may ask for, each with what fills it; an output of a stack stands as `${Name}`."""
        deploy = self.environment.deploy
        known = {"VpcCidr": self.vpc_cidr, "CertificateArn": deploy.certificate_arn, "Region": deploy.region}
        known |= {"EnvironmentName": self.environment.name}
        copied = {"CollectorImage": "${CollectorImage}"} if self.collector_source else {}
        return {**{name: f"${{{name}}}" for name in OUTPUTS}, **known, **deploy.values, **copied}

    @property
    def collector_source(self) -> str:
        """The image of the collector of metrics, where the environment says it is. Manifests name a copy of it."""
        return self.environment.deploy.values.get("CollectorImage", "")
