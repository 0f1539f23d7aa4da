"""Writes the Serve configuration of a cluster, `serveConfigV2`: the applications, and how the proxies take calls.

Every option of a deployment is the one that `serve.app.build` sets. Must not know how an application is built.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from serve.deployment_options import KEEP_ALIVE_S, REQUEST_TIMEOUT_S

PORT = 8000


class Served(NamedTuple):
    """One application of the configuration: `builder` makes it from `args`, `options` are those of its deployment."""

    name: str
    route_prefix: str
    builder: str
    args: Mapping[str, str | bool]
    options: Mapping[str, Any]


def serve_config(served: Sequence[Served], *, host: str, port: int = PORT) -> dict[str, Any]:
    """Return the configuration. The proxies listen on `host` and `port`, on each node that has a replica."""
    return {
        "proxy_location": "EveryNode",
        "http_options": {
            "host": host,
            "port": port,
            "request_timeout_s": REQUEST_TIMEOUT_S,
            "keep_alive_timeout_s": KEEP_ALIVE_S,
        },
        "applications": [
            {
                "name": each.name,
                "route_prefix": each.route_prefix,
                "import_path": each.builder,
                "args": dict(each.args),
                "deployments": [dict(each.options)],
            }
            for each in served
        ],
    }
