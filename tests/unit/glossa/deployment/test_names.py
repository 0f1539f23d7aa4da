"""Checks that steps and programs name what the manifests name."""

from __future__ import annotations

from glossa.deployment import names
from serve.manifests import pods, ray_service
from tests.unit.infra.test_kubernetes import of_kind


def test_the_names_are_those_of_the_manifests() -> None:
    """What a program reads or writes in the cluster has the name by which the RayService asks for it."""
    (service,) = of_kind("RayService")
    pod = service["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]["template"]
    volumes = {each["name"]: each for each in pod["spec"]["volumes"]}
    redis = service["spec"]["rayClusterConfig"]["gcsFaultToleranceOptions"]["redisPassword"]["valueFrom"]
    assert (service["metadata"]["namespace"], service["metadata"]["name"]) == (names.NAMESPACE, names.RAY_SERVICE)
    mounted = {each["mountPath"]: each for each in pod["spec"]["containers"][0]["volumeMounts"]}
    assert mounted[pods.CATALOG]["subPath"] == names.CATALOG_FILE
    assert volumes["call-keys"]["secret"]["secretName"] == names.CALL_KEYS
    assert redis["secretKeyRef"] == {"name": names.REDIS, "key": names.REDIS_FIELD}
    assert names.APP_LABEL.items() <= pod["metadata"]["labels"].items()
    assert [each["metadata"]["name"] for each in of_kind("Ingress")] == [names.INGRESS]
    assert ray_service.NAME == names.NAMESPACE
