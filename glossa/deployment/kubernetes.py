"""The steps on a cluster: sign in, install Ray's operator, apply the manifests, wait until replicas answer.

Everything is applied again on every deployment, which changes nothing where nothing is new. Must not know what a
manifest holds: infra/kubernetes does.
"""

from __future__ import annotations

from pathlib import Path

from glossa.deployment.environment import Environment
from glossa.deployment.names import NAMESPACE, PYTHON
from glossa.deployment.steps import Command, Step
from glossa.deployment.target import Target

MANIFESTS = "infra/kubernetes"
OPERATOR_IMAGE = "quay.io/kuberay/operator"  # ray-project/kuberay, helm-chart/kuberay-operator/values.yaml at v1.7.0
TAG_CHARS = 16
READY_MINUTES = 40  # a machine with a GPU starts, pulls an image of gigabytes, and loads weights of gigabytes


def kubernetes_steps(target: Target) -> list[Step]:
    """Return the steps between the stack of the cluster and the stack of the functions."""
    return [_sign_in(target), _operator(target), _collector(target), _manifests(target), _ready(target), _name(target)]


def kubeconfig_command(environment: Environment) -> Command:
    """Return the command that writes how to sign in to the cluster; it touches no configuration of yours.

    kubectl takes the role that the cluster admits, AdminRoleArn, because the cluster admits nobody else.
    """
    words: tuple[str, ...] = (
        "aws",
        "eks",
        "update-kubeconfig",
        "--name",
        "${ClusterName}",
        "--region",
        environment.deploy.region,
    )
    if role := environment.value("cluster", "AdminRoleArn"):
        words = (*words, "--role-arn", role)
    return Command((*words, "--kubeconfig", str(kubeconfig(environment))))


def kubeconfig(environment: Environment) -> Path:
    """Return the file that says how to sign in to the cluster."""
    return Path("build") / "deploy" / environment.name / "kubeconfig"


def kubectl(environment: Environment, *words: str) -> Command:
    """Return a command of kubectl for this environment's cluster."""
    return Command(("kubectl", "--kubeconfig", str(kubeconfig(environment)), "--namespace", NAMESPACE, *words))


def registry_words(environment: Environment, repository: str) -> tuple[str, ...]:
    """Return the words with which every command of an image repository begins."""
    words = (PYTHON, "-m", "glossa.deployment.programs.registry", "--builder", environment.deploy.image_builder)
    return (*words, "--region", environment.deploy.region, "--repository", repository)


def removal_commands(environment: Environment) -> tuple[Command, ...]:
    """Return the commands that remove what the cluster made outside of itself: machines and the load balancer."""
    return (
        kubectl(environment, "delete", "rayservice,ingress", "--all", "--ignore-not-found", "--wait", "--timeout=10m"),
        kubectl(environment, "delete", "nodepool", "--all", "--ignore-not-found", "--wait", "--timeout=15m"),
    )


def _sign_in(target: Target) -> Step:
    return Step("kubeconfig", "signing in to the cluster", (kubeconfig_command(target.environment),), always=True)


def _operator(target: Target) -> Step:
    """Return the step that installs Ray's operator. Nodes reach no public registry, so its image is copied first."""
    environment = target.environment
    repository = {"OPERATOR_REPOSITORY": "${OperatorRepositoryUri}"}
    registry = registry_words(environment, "${OperatorRepositoryUri}")
    source = f"{OPERATOR_IMAGE}:{target.operator_tag}"
    commands = (
        Command((*registry, "copy", "--from", source, "--tag", target.operator_tag)),
        Command(
            ("bash", f"{MANIFESTS}/operator/install.sh"),
            {**repository, "KUBECONFIG": "${Root}/" + str(kubeconfig(environment))},
        ),
    )
    return Step("operator", "Ray's operator", commands, 5, (f"{MANIFESTS}/operator",), always=True)


def _collector(target: Target) -> Step:
    """Return the step that copies the image of the collector of metrics. Its tag is the start of its digest."""
    source = target.collector_source
    registry = registry_words(target.environment, "${CollectorRepositoryUri}")
    copy = ("copy", "--from", source, "--tag", source.rpartition(":")[2][:TAG_CHARS] or "none")
    noted = ("--notes", str(target.notes), "--fact", "CollectorImage")
    commands = (Command((*registry, "sign-in")), Command((*registry, *copy, *noted)))
    return Step("collector", "image of the collector of metrics", commands, 2, always=True)


def _manifests(target: Target) -> Step:
    """Return the step that fills and applies the manifests, the RayService among them."""
    environment, work = target.environment, target.work
    filled = str(work / "kubernetes")
    generate = [PYTHON, "-m", "serve.cluster", "--catalog", str(target.catalog), "--image", "${ImageUri}"]
    generate += ["--gpu-image", "${GpuImageUri}"] if len(target.images) > 1 else []
    generate += ["--redis-address", "${RedisAddress}"]
    fill = [PYTHON, "-m", "glossa.deployment.programs.manifests", "--from", MANIFESTS, "--out", filled]
    fill += ["--catalog", str(target.catalog)]
    for name, value in sorted(target.manifest_values.items()):
        fill += ["--value", f"{name}={value}"]
    config = str(kubeconfig(environment))
    secrets = (PYTHON, "-m", "glossa.deployment.programs.cluster_secrets", "--region", environment.deploy.region)
    commands = (
        Command(tuple(fill)),
        Command((*generate, "--out", f"{filled}/rayservice.yaml")),
        kubectl(environment, "apply", "--server-side", "--force-conflicts", "--filename", f"{filled}/namespace.yaml"),
        Command(
            (*secrets, "--kubeconfig", config, "--call-keys", "${CallKeysSecretArn}", "--redis", "${RedisSecretArn}")
        ),
        kubectl(environment, "apply", "--server-side", "--force-conflicts", "--filename", filled),
    )
    return Step("manifests", "manifests of the cluster", commands, 5, (MANIFESTS, str(target.catalog)), always=True)


def _ready(target: Target) -> Step:
    """Return the step that waits until replicas with this catalog answer. `kubectl wait` is true for old ones too."""
    words = (PYTHON, "-m", "glossa.deployment.programs.cluster_ready", "--catalog", str(target.catalog))
    where = ("--kubeconfig", str(kubeconfig(target.environment)), "--within-s", str(READY_MINUTES * 60))
    return Step("replicas", "model servers are ready", (Command((*words, *where)),), READY_MINUTES, always=True)


def _name(target: Target) -> Step:
    """Return the step that points the private name at the load balancer, which no template knows."""
    environment = target.environment
    words = (PYTHON, "-m", "glossa.deployment.programs.replica_name", "--region", environment.deploy.region)
    where = ("--kubeconfig", str(kubeconfig(environment)), "--zone", "${ReplicaZoneId}", "--host", "${ReplicaHostName}")
    return Step("name", "the private name of the model servers", (Command((*words, *where)),), 15, always=True)
