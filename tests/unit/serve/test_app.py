"""The applications as built: every bound, checked in Ray's own configuration objects."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from ray.serve._private.api import call_user_app_builder_with_args_if_necessary
from ray.serve.schema import ServeDeploySchema

from serve import deployment_options
from serve.app import (
    build,
    front_application,
    model_application,
    on_loopback,
)
from serve.replica import Timeouts
from serve.strict_config import check_strict
from shared.catalog import Catalog, Head, Model, Replicas

FUNCTION_S = 25.0  # the time a function has, the longest that anyone of ours waits


@pytest.fixture
def catalog(model: Model) -> Catalog:
    """Make a catalog of two models. The number of replicas of one is fixed, of the other a range."""
    scaling = {"min": 0, "max": 3, "num_cpus": 2.0}
    other = Model.model_validate({**model.model_dump(), "name": "other", "replicas": scaling})
    return Catalog(default_model="toy", models={"toy": model, "other": other})


def _config(application: Any) -> Any:
    return application._bound_deployment._deployment_config


def test_one_application_for_each_model_and_the_server(catalog: Catalog) -> None:
    """Each model is at its own prefix, the server's application at /v2. The replica itself is the ingress."""
    served = build(catalog, Path(), engine="fake")
    assert [(app.name, app.route_prefix) for app in served] == [
        ("toy", "/v2/models/toy"), ("other", "/v2/models/other"), ("front", "/v2"),
    ]  # fmt: skip
    assert [app.application._bound_deployment.name for app in served] == ["replica", "replica", "front"]
    assert all(hasattr(app.application._bound_deployment.func_or_class, "__serve_build_asgi_app__") for app in served)


def test_every_bound_is_set(catalog: Catalog) -> None:
    """In each built deployment queues are finite, refusals carry Retry-After, and health and drain have their times."""
    for app in build(catalog, Path(), engine="fake"):
        config = _config(app.application)
        assert config.max_ongoing_requests == deployment_options.MAX_ONGOING
        assert 0 < config.max_queued_requests == deployment_options.MAX_QUEUED
        assert (config.backpressure_config.status_code, config.backpressure_config.retry_after_s) == (429, 1)
        assert (config.health_check_period_s, config.health_check_timeout_s) == (2.0, 2.0)
        assert (config.graceful_shutdown_timeout_s, config.graceful_shutdown_wait_loop_s) == (40.0, 0.5)
        assert set(deployment_options.front_options(catalog)) - {"name", "num_replicas", "ray_actor_options"} <= (
            config.user_configured_option_names
        )


def test_replicas_follow_the_catalog(catalog: Catalog) -> None:
    """A fixed count is fixed. A range becomes autoscaling with its delays. CPUs and GPUs are asked for."""
    toy, other, _ = (app.application for app in build(catalog, Path(), engine="fake"))
    assert _config(toy).num_replicas == 1
    assert _config(toy).autoscaling_config is None
    scaling = _config(other).autoscaling_config
    assert (scaling.min_replicas, scaling.max_replicas, scaling.target_ongoing_requests) == (0, 3, 32.0)
    assert (scaling.upscale_delay_s, scaling.downscale_delay_s) == (10.0, 300.0)
    assert other._bound_deployment.ray_actor_options == {
        "num_cpus": 2.0,
        "num_gpus": 0.0,
        "resources": {"size_class_base": 0.001},
        "runtime_env": {"env_vars": deployment_options.ENVIRONMENT},
    }
    assert catalog.models["other"].n_threads == 2


def test_a_definition_differs_when_a_fact_or_an_option_does(catalog: Catalog) -> None:
    """Built twice, all definitions are the same. A changed fact changes its model alone, a revision the front too."""

    def definitions(**facts: Any) -> dict[str, str]:
        models = {**catalog.models, "toy": catalog.models["toy"].model_copy(update=facts)}
        built = build(catalog.model_copy(update={"models": models}), Path(), engine="fake")
        return {app.name: app.definition for app in built}

    def differing(**facts: Any) -> list[str]:
        return [name for name, text in definitions(**facts).items() if text != definitions()[name]]

    assert differing() == []
    assert differing(weights_sha256="f" * 64) == ["toy"]
    assert differing(heads=dict(reversed(catalog.models["toy"].heads.items()))) == ["toy"]
    assert differing(revision="2") == ["toy", "front"]


def test_a_head_of_its_own_changes_what_ray_hands_to_replicas_and_not_their_version(catalog: Catalog) -> None:
    """So Ray keeps the replicas that run. Any other fact changes the version. A cluster reads the catalog alone."""
    toy = catalog.models["toy"]
    own = Head(task="token-classification", labels=("x",), default=True, checkpoint="mine", weights_sha256="a" * 64)

    def deployed(model: Model, *, spread: bool = False) -> Any:
        known = Catalog(default_model="toy", models={"toy": model})
        return build(known, Path(), engine="fake", spread=spread)[0].application._bound_deployment

    plain = deployed(toy)
    more = deployed(toy.model_copy(update={"heads": {**toy.heads, "mine": own}}))
    assert (plain._version, plain.user_config) == (more._version, {"heads": {}, "defaults": ["topic"]})
    assert Head.model_validate(more.user_config["heads"]["mine"]) == own
    assert more.user_config["defaults"] == ["topic", "mine"]
    assert deployed(toy.model_copy(update={"dtype": "bfloat16"}))._version != plain._version
    assert deployed(toy, spread=True).user_config is None


def test_new_replicas_start_beside_old_ones_where_there_is_room(catalog: Catalog) -> None:
    """On one machine old replicas answer until new ones are ready. A GPU has no room for two, and a cluster is new."""
    gpu = catalog.models["toy"].model_copy(update={"replicas": Replicas(num_gpus=1)})
    assert _config(build(catalog, Path(), engine="fake")[0].application).max_surge_percent == 100
    assert "max_surge_percent" not in deployment_options.replica_options(gpu)
    assert "max_surge_percent" not in deployment_options.front_options(catalog, spread=True)


def test_outer_times_are_longer_than_inner_ones() -> None:
    """Each time is longer than the times of what it waits for."""
    timeouts = Timeouts()
    assert timeouts.health.check_s < deployment_options.HEALTH_TIMEOUT_S <= deployment_options.HEALTH_PERIOD_S
    assert timeouts.health.check_s < timeouts.health.probe_s < timeouts.health.stuck_s
    assert timeouts.answer_s <= timeouts.longest_s < deployment_options.REQUEST_TIMEOUT_S
    assert FUNCTION_S <= timeouts.drain_s < deployment_options.DRAIN_S
    assert deployment_options.KEEP_ALIVE_S > 60  # a load balancer's idle timeout


def test_options_are_all_known_to_ray(catalog: Catalog) -> None:
    """Written as a Serve configuration, our options pass the strict reader: Ray drops none of their keys."""
    for chosen in (
        *map(deployment_options.replica_options, catalog.models.values()),
        deployment_options.front_options(catalog),
    ):
        schema = {"applications": [{"name": "a", "import_path": "a:b", "deployments": [chosen]}]}
        read = check_strict(ServeDeploySchema, schema)
        assert read.applications[0].deployments[0].max_queued_requests == deployment_options.MAX_QUEUED


def test_a_next_revision_stands_beside_the_one_served(catalog: Catalog) -> None:
    """A candidate has its own application below versions/{revision}. An old or unknown revision is refused."""
    candidate = catalog.models["toy"].model_copy(update={"revision": "2"})
    served = build(catalog, Path(), engine="fake", candidates=[candidate])
    assert ("toy-2", "/v2/models/toy/versions/2") in [(app.name, app.route_prefix) for app in served]
    for wrong in (catalog.models["toy"], candidate.model_copy(update={"name": "stranger"})):
        with pytest.raises(ValueError, match="expected a new revision"):
            build(catalog, Path(), engine="fake", candidates=[wrong])


CATALOG = """
default_model = "toy"
[models.toy]
family = "xlm-roberta"
checkpoint = "nowhere"
weights_sha256 = "{zeros}"
tokenizer_sha256 = "{zeros}"
max_tokens = 32
vocab_size = 100
heads = {{ topic = {{ task = "text-classification" }} }}
""".format(zeros="0" * 64)


@pytest.mark.parametrize("name", ["front", "toy-2"])
def test_no_two_applications_have_one_name(catalog: Catalog, name: str) -> None:
    """Ray would refuse the second, or replace the first: the front's name, and that of a model's next revision."""
    model = catalog.model("toy")
    models = {**catalog.models, name: model.model_copy(update={"name": name})}
    changed = catalog.model_copy(update={"models": models})
    with pytest.raises(ValueError, match=f"got two applications named '{name}', expected each name once"):
        build(changed, Path(), engine="fake", candidates=(model.model_copy(update={"revision": "2"}),))


def test_builders_for_a_cluster_take_strict_arguments(tmp_path: Path) -> None:
    """`serveConfigV2` names a catalog and a model. An unknown argument is refused. Ray hands them over as a dict."""
    path = tmp_path / "catalog.toml"
    path.write_text(CATALOG, encoding="utf-8")
    read = call_user_app_builder_with_args_if_necessary
    built = read(model_application, {"catalog": str(path), "model": "toy", "engine": "fake"})
    assert _config(built).max_queued_requests == deployment_options.MAX_QUEUED
    assert read(front_application, {"catalog": str(path)})._bound_deployment.name == "front"
    for builder, args in ((model_application, {"model": "toy", "modle": "toy"}), (front_application, {"model": "toy"})):
        with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
            read(builder, {"catalog": str(path), **args})


def test_loopback_replaces_what_ray_binds_by_itself() -> None:
    """A class made for loopback turns Ray's `[::]` into 127.0.0.1, in the process that makes an instance."""
    inside: Any = import_module("ray.serve._private.replica")

    class Kind:
        def __init__(self, word: str) -> None:
            self.word = word

    kept = inside.add_port_to_grpc_server
    asked: list[str] = []
    inside.add_port_to_grpc_server = lambda _, at: asked.append(at)
    try:
        assert on_loopback(Kind)("word").word == "word"
        inside.add_port_to_grpc_server(None, "[::]:0")
    finally:
        inside.add_port_to_grpc_server = kept
    assert asked == ["127.0.0.1:0"]


def test_downloads_go_where_the_caller_says(catalog: Catalog, tmp_path: Path) -> None:
    """An image has a read-only root, so checkpoints from S3 go to a folder that is named."""
    bound = build(catalog, Path(), download_folder=tmp_path)[0].application
    load = bound._bound_deployment.init_args[1]
    assert load.keywords == {"download_folder": tmp_path}
