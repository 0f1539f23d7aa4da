"""The Serve configuration passes the strict reader, and a slip in it does not."""

from __future__ import annotations

import pytest
import yaml

from serve.app import read_serve_config
from serve.deployment_options import front_options, replica_options
from serve.manifests.serve_config import Served, serve_config
from shared.catalog import Catalog, Model


@pytest.fixture
def text(model: Model) -> str:
    """Write the configuration of a catalog of one model."""
    front = front_options(Catalog(default_model="toy", models={"toy": model}))
    entries = [
        Served("toy", "/v2/models/toy", "a:b", {"model": "toy"}, replica_options(model, spread=True)),
        Served("front", "/v2", "a:c", {}, front),
    ]
    return str(yaml.safe_dump(serve_config(entries, host="0.0.0.0"), sort_keys=False))  # noqa: S104 - nothing listens


def test_the_strict_reader_takes_it(text: str) -> None:
    """Nothing in it is unknown to Ray. The bounds and the keep-alive arrive."""
    read = read_serve_config(text)
    assert [app.name for app in read.applications] == ["toy", "front"]
    assert all(app.deployments[0].max_queued_requests == 128 for app in read.applications)
    assert (read.http_options.port, read.http_options.keep_alive_timeout_s) == (8000, 90)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("max_queued_requests", "max_queued_request", r"applications\[0\].deployments\[0\].max_queued_request"),
        ("route_prefix", "route_prefx", "route_prefx"),
        ("keep_alive_timeout_s", "keep_alive_s", "http_options.keep_alive_s"),
        ("proxy_location", "proxy_locations", "proxy_locations"),
        ("num_cpus: 1.0", "num_cpus: many", "ray_actor_options.num_cpus"),
        ("port: 8000", "port: 8000\n  port: 9000", "port"),
    ],
)
def test_a_slip_is_refused(text: str, old: str, new: str, said: str) -> None:
    """An unknown key at any level, a bad value and a key that stands twice are refused by name."""
    assert old in text
    with pytest.raises(ValueError, match=said):
        read_serve_config(text.replace(old, new, 1))
