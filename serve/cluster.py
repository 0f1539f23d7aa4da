"""Writes the RayService of a catalog: the Ray cluster on Kubernetes, and the Serve configuration of its applications.

    python -m serve.cluster --catalog FILE --image IMAGE [--gpu-image IMAGE] [--out FILE]

The applications are those of `serve.app.build`, which is their only enumeration. A cluster that does not fit the limits
in the manifests beside FILE is refused. Imports Ray. Must not know Kubernetes.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray

from serve import ingress
from serve.app import EngineKind, build
from serve.deployment_options import CONTROLLER_ENVIRONMENT
from serve.manifests.demand import demand
from serve.manifests.limits import beyond, read_limits
from serve.manifests.pods import CACHE, CATALOG
from serve.manifests.ray_service import Cluster, ray_service, to_yaml
from serve.manifests.serve_config import Served, serve_config
from serve.manifests.worker_groups import SHAPES, Shape, parse_shape, worker_groups
from shared.catalog import Catalog, SizeClass, load_catalog

OUT = Path("infra/kubernetes/rayservice.yaml")
ALL_ADDRESSES = "0.0.0.0"  # noqa: S104 - in a pod; the network policy says who reaches it
WRAPPER = Path("/opt/glossa/bin/haproxy")  # infra/image/Dockerfile makes it with serve.ingress
HAPROXY_FILES = Path("/tmp/haproxy")  # noqa: S108 - in a volume of the pod
HAPROXY_THREADS = 2
REDIS_ADDRESS = "redis:6379"
IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:-]*(?:@sha256:[0-9a-f]+)?")
REDIS = re.compile(r"(?:rediss?://)?[A-Za-z0-9][A-Za-z0-9.-]*:[0-9]{1,5}")
REPLICA_PORTS = (30_000, 31_000)  # on which replicas take calls from the proxies of all nodes
ENVIRONMENT = CONTROLLER_ENVIRONMENT | {
    "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(REPLICA_PORTS[0]),
    "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(REPLICA_PORTS[1]),
    "RAY_USAGE_STATS_ENABLED": "0",
    "HF_HUB_OFFLINE": "1",  # weights come from the bucket; the nodes have no way to the hub
}


def served(catalog: Catalog, root: Path, *, path: str = CATALOG, engine: EngineKind = "packed") -> list[Served]:
    """Return the applications of a catalog as the Serve configuration of a cluster names them.

    `path` is where the nodes of the cluster have the catalog's file.
    """
    entries = []
    for each in build(catalog, root, engine=engine, spread=True):
        args = {"catalog": path, **each.args}
        if "model" in args:
            args["download_folder"] = f"{CACHE}/weights"
        entries.append(Served(each.name, each.route_prefix, each.builder, args, each.options))
    return entries


def manifest(
    path: Path,
    *,
    image: str,
    gpu_image: str | None = None,
    redis_address: str = REDIS_ADDRESS,
    shapes: Mapping[SizeClass, Shape] = SHAPES,
) -> dict[str, Any]:
    """Return the RayService of the catalog at `path`.

    Raises ValueError when the catalog cannot be read, a replica fits nowhere, or an image is not of this version of
    Ray; OSError when there is no such file.
    """
    for name in (image, gpu_image):
        if name is not None:
            check_image(name)
    if not REDIS.fullmatch(redis_address):
        raise ValueError(f"got Redis at {redis_address!r}, expected host:port, or rediss://host:port for TLS")
    applications = served(load_catalog(path), path.resolve().parent)
    cluster = Cluster(
        image=image,
        gpu_image=gpu_image,
        redis_address=redis_address,
        ray_version=ray.__version__,
        environment=ENVIRONMENT | ingress.environment(WRAPPER, HAPROXY_FILES, n_threads=HAPROXY_THREADS),
        catalog_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )
    groups = worker_groups([demand(each.name, each.options) for each in applications], shapes)
    return ray_service(serve_config(applications, host=ALL_ADDRESSES), groups, cluster)


def check_image(image: str) -> None:
    """Raise ValueError unless the image is named by its digest, or by a tag that names this version of Ray.

    A digest never moves, and `glossa deploy` takes that of the image it has just built from this checkout. A tag that
    names another version of Ray is refused even beside a digest.
    """
    name, _, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    named = [part for part in tag.split("-") if re.fullmatch(r"ray\d+\.\d+\.\d+", part)]
    if named != [f"ray{ray.__version__}"] and (named or not re.fullmatch(r"sha256:[0-9a-f]{64}", digest)):
        expected = f"a digest, or a tag with -ray{ray.__version__}, the version that writes this file"
        raise ValueError(f"got image {image!r}, expected {expected}")
    if not IMAGE.fullmatch(image):
        raise ValueError(f"got image {image!r}, expected REGISTRY/NAME:TAG or REGISTRY/NAME@sha256:DIGEST")


def check_limits(made: Mapping[str, Any], folder: Path) -> None:
    """Raise ValueError when two clusters like this one do not fit the limits in the manifests of a folder."""
    if broken := list(beyond(made, read_limits(folder))):
        raise ValueError("\n".join(broken))


def warnings(catalog: Catalog) -> Iterator[str]:
    """Yield a sentence for each model that one crash would leave without a replica."""
    for name, model in catalog.models.items():
        if model.replicas.min == 1 or model.replicas.max == 1:
            yield f"{name} has one replica, and no answer while it starts again; for production expected 2 or more"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the manifest; return 0, or 1 with a reason on standard error."""
    parser = argparse.ArgumentParser(prog="python -m serve.cluster", description="Write the RayService of a catalog.")
    parser.add_argument("--catalog", type=Path, required=True)
    parser.add_argument("--image", required=True, help="image for CPUs: its full name with a tag")
    parser.add_argument("--gpu-image", help="image for CUDA, where a size class has GPUs")
    parser.add_argument("--redis-address", default=REDIS_ADDRESS, help="host:port, or rediss://host:port for TLS")
    parser.add_argument("--worker", action="append", default=[], metavar="CLASS=CPUS,MEMORY_GIB,GPUS")
    parser.add_argument("--out", type=Path, default=OUT)
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser.parse_args(given)
    try:
        made = manifest(
            options.catalog,
            image=options.image,
            gpu_image=options.gpu_image,
            redis_address=options.redis_address,
            shapes={**SHAPES, **dict(map(parse_shape, options.worker))},
        )
        check_limits(made, options.out.parent)
        options.out.write_text(to_yaml(made, header(given)), encoding="utf-8")
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - it speaks to a person
        return 1
    for warning in warnings(load_catalog(options.catalog)):
        print(f"warning: {warning}", file=sys.stderr)  # noqa: T201 - likewise
    return 0


def header(arguments: Sequence[str]) -> str:
    """Return the lines above a manifest, which say what wrote it."""
    return (
        f"GENERATED. Change the catalog, then write this file again:\npython -m serve.cluster {shlex.join(arguments)}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
