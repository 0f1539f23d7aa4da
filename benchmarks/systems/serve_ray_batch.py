"""Serves one of `batch_engines` with Ray Serve and `@serve.batch`, as its documentation shows.

`--variant ENGINE-ROWS-COLLECTED`. POST / {"rows": [[ids]]} -> {"answers": [[label, score]]}. One replica. The
environment that starts it chooses HAProxy or Ray's own proxy, and keeps it on 127.0.0.1.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

import ray
from ray import serve
from ray.serve.config import HTTPOptions
from starlette.requests import Request

HERE = Path(__file__).parent
WINDOW_S = 0.01
HOST = "127.0.0.1"


def deployment(options: argparse.Namespace) -> serve.Application:
    """Return the application."""
    variant, _, collected = options.variant.rpartition("-")

    @serve.deployment(max_ongoing_requests=512, ray_actor_options={"num_cpus": options.threads})
    class Classify:
        """Takes HTTP requests and batches them with `@serve.batch`."""

        def __init__(self) -> None:
            stay_on_loopback()
            sys.path.insert(0, str(HERE))
            from batch_engines import make  # noqa: PLC0415 - only the process of the replica needs it

            self.engine = make(variant, options.checkpoint, options.threads)

        @serve.batch(max_batch_size=int(collected), batch_wait_timeout_s=WINDOW_S)
        async def answer(self, requests: list[list[list[int]]]) -> list[list[tuple[int, float]]]:
            """Answer all rows of all requests in one call of the engine."""
            answers = iter(self.engine([row for rows in requests for row in rows]))
            return [[next(answers) for _ in rows] for rows in requests]

        async def __call__(self, request: Request) -> dict[str, object]:
            """Answer one request."""
            return {"answers": await self.answer((await request.json())["rows"])}

    return Classify.bind()


def stay_on_loopback() -> None:
    """Keep the server between replicas on this machine. Ray always opens it on `[::]`."""
    from ray.serve._private import replica  # noqa: PLC0415 - only the process of the replica needs it

    add_port = replica.add_port_to_grpc_server
    replica.add_port_to_grpc_server = lambda server, at: add_port(server, at.replace("[::]", HOST))


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--variant", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--temp-dir", required=True)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    options.checkpoint = options.checkpoint.resolve()
    stopped = threading.Event()
    ray.init(
        address="local", num_cpus=options.threads + 1, include_dashboard=False, log_to_driver=False,
        object_store_memory=100 * 2**20, _node_ip_address=HOST, _temp_dir=options.temp_dir,
    )  # fmt: skip
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    try:
        serve.start(proxy_location="HeadOnly", http_options=HTTPOptions(host=HOST, port=options.port))
        serve.run(deployment(options), route_prefix="/")
        stopped.wait()
    finally:
        serve.shutdown()
        ray.shutdown()


if __name__ == "__main__":
    main()
