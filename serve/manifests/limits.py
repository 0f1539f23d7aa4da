"""Says whether a cluster fits what the namespace and the machines of its size classes may take, two clusters at once.

While a new cluster starts, the old one still runs. Without room for both the new one waits for ever, and nothing says
why. The numbers are those of `limits.yaml` and `nodes.yaml`. Must not know catalogs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

FILES = ("limits.yaml", "nodes.yaml")  # beside the manifest of the cluster
CLUSTERS = 2
LABEL = "glossa-size-class"
UNITS = {"m": 1e-3, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}

Manifest = Mapping[str, Any]


def read_limits(folder: Path) -> list[Manifest]:
    """Return the manifests with limits in a folder. There are none where their files are not."""
    texts = [path.read_text(encoding="utf-8") for name in FILES if (path := folder / name).is_file()]
    return [one for text in texts for one in yaml.safe_load_all(text) if one]


def beyond(service: Manifest, limits: Sequence[Manifest]) -> Iterator[str]:
    """Yield a sentence for each limit that two clusters like this one, with all their workers, would break."""
    pods = list(_pods(service))
    for one in limits:
        hard, counted, file = {}, pods, FILES[0]
        if one["kind"] == "ResourceQuota":
            hard = {name.removeprefix("requests."): value for name, value in one["spec"]["hard"].items()}
        elif one["kind"] == "NodePool":
            size_class = one["spec"]["template"]["metadata"]["labels"][LABEL]
            hard, file = one["spec"]["limits"], FILES[1]
            counted = [pod for pod in pods if pod[0] == size_class]
        asked = _total(counted)
        for name in sorted(hard.keys() & asked.keys()):
            if asked[name] > quantity(hard[name]):
                where = f"{one['kind']} {one['metadata']['name']}"
                yield (
                    f"got a catalog whose {CLUSTERS} clusters, the old and the new one, ask for"
                    f" {_show(asked[name], name)} of {name}, expected at most {hard[name]} by {where}; raise it in"
                    f" {file}, or lower replicas.max"
                )


def quantity(text: object) -> float:
    """Return a quantity of Kubernetes, such as 500m, 12Gi or 7, as a number. Raises ValueError for another unit."""
    number = str(text).rstrip("miGT")
    unit = str(text)[len(number) :]
    if unit and unit not in UNITS:
        raise ValueError(f"got quantity {text!r}, expected a number with one of {sorted(UNITS)} or no unit")
    return float(number) * UNITS.get(unit, 1.0)


def _pods(service: Manifest) -> Iterator[tuple[str, int, list[Manifest]]]:
    """Yield size class, number and requests of the containers of the head and of each group."""
    cluster = service["spec"]["rayClusterConfig"]
    groups = [(1, cluster["headGroupSpec"], [cluster["autoscalerOptions"]])]
    groups += [(group["maxReplicas"], group, []) for group in cluster["workerGroupSpecs"]]
    for count, group, beside in groups:
        spec = group["template"]["spec"]
        requests = [container["resources"]["requests"] for container in (*spec["containers"], *beside)]
        yield spec["nodeSelector"][LABEL], count, requests


def _total(pods: Sequence[tuple[str, int, list[Manifest]]]) -> Mapping[str, float]:
    total: Counter[str] = Counter()
    for _, count, containers in pods:
        total["pods"] += CLUSTERS * count
        for requests in containers:
            for name, value in requests.items():
                total[name] += CLUSTERS * count * quantity(value)  # type: ignore[assignment] # a Counter takes floats too
    return total


def _show(value: float, name: str) -> str:
    return f"{value / 2**30:g}Gi" if name in {"memory", "ephemeral-storage"} else f"{value:g}"
