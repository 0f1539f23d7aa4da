"""Serves the proxy on a loopback address with uvicorn, and on no other. Must not know what it serves."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING, Any

from glossa.client.errors import InvalidRequest

if TYPE_CHECKING:
    import uvicorn

MAX_REQUESTS = 64  # at once; each may hold a body in memory
MAX_HEAD_BYTES = 32 << 10
BACKLOG = 64
END_S = 5.0  # that requests get to end when the proxy is stopped


def bind(host: str, port: int) -> socket.socket:
    """Return a socket on a loopback address; port 0 takes a free one. Raises ValueError for any other address."""
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        address = None
    if address is None or not address.is_loopback:
        said = "whoever reaches the proxy and knows its token acts with your AWS credentials"
        raise ValueError(f"got the address {host!r}, expected one of this machine alone, such as 127.0.0.1: {said}")
    made = socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET)  # noqa: PLR2004 - the number is the name of the version
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((str(address), port))
    made.listen(BACKLOG)  # who comes before the server has started waits for it
    return made


def server_of(app: Any) -> uvicorn.Server:
    """Return the server of an ASGI application, which `run(sockets=[...])` starts. Raises InvalidRequest."""
    try:
        import uvicorn  # noqa: PLC0415 - the wheel installs it with its extra `proxy` alone
    except ImportError:
        hint = "install it: pip install uvicorn botocore, or the wheel with its extra `proxy`"
        raise InvalidRequest("got no uvicorn, which serves the proxy, expected it", hint=hint) from None

    config = uvicorn.Config(
        app,
        http="h11",  # hands on the target of a request as it came
        loop="asyncio",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MAX_REQUESTS,
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        backlog=BACKLOG,
        timeout_graceful_shutdown=int(END_S),
    )
    return uvicorn.Server(config)
