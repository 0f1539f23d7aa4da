"""Ray runs in short paths, with its own ports and token, without the caller's settings, and on 127.0.0.1 alone."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from local import processes
from local.ray_workspace import (
    HAPROXY_TIMEOUTS,
    HAPROXY_WRAPPER,
    IDLE_SETTINGS,
    REPLICA_PORTS,
    TOKEN_PATH,
    check_fits,
    default_ingress,
    end_leftovers,
    environment,
    fresh_temp,
    temp_dir,
)
from local.workspace import ROOT, Workspace

NODE_ID_CHARS = 56
SESSION = "session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store"
SOCKET_PATH_BYTES = 107


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Make a workspace in an empty folder."""
    return Workspace(ROOT, tmp_path)


def test_socket_paths_fit(workspace: Workspace) -> None:
    """The paths of Ray's sockets, and of HAProxy's with their suffix, are short enough for Unix sockets."""
    temp = str(temp_dir(workspace))
    assert len(f"{temp}/{SESSION}") <= SOCKET_PATH_BYTES
    state = Path(environment(workspace, "haproxy").get("RAY_SERVE_HAPROXY_SOCKET_PATH", "")).relative_to(temp)
    assert len(f"{temp}/{state.parent}/{'f' * NODE_ID_CHARS}/{state.name}.1234567.tmp") <= SOCKET_PATH_BYTES


def test_two_workspaces_share_nothing(workspace: Workspace, tmp_path: Path) -> None:
    """The session folders, tokens and ports of two workspaces differ."""
    other = Workspace(ROOT, tmp_path / "other")
    other.run.mkdir(parents=True, exist_ok=True)
    mine, theirs = environment(workspace, "haproxy"), environment(other, "haproxy")
    assert temp_dir(workspace) != temp_dir(other)
    named = {name for name in mine if "PORT" in name and name.startswith(("RAY_SERVE", "AUTOSCALER", "DASHBOARD"))}
    own = named - IDLE_SETTINGS.keys()  # one of which has EXPORT in its name
    assert len(own) >= 7
    assert not {mine[name] for name in own | {TOKEN_PATH}} & {theirs[name] for name in own | {TOKEN_PATH}}


def test_the_callers_ray_stays_out(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Ray address or setting in the caller's environment does not reach the server."""
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    made = environment(workspace, "python")
    assert "RAY_ADDRESS" not in made
    assert "RAY_SERVE_ENABLE_HA_PROXY" not in made
    assert made["RAY_USAGE_STATS_ENABLED"] == "0"


def test_the_token_is_ours_alone(workspace: Workspace) -> None:
    """The token is made once, and only its owner can read it."""
    path = Path(environment(workspace, "python")[TOKEN_PATH])
    token = path.read_text(encoding="ascii")
    assert len(token) == 64
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    environment(workspace, "python")
    assert path.read_text(encoding="ascii") == token


def test_ingress_is_named_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """GLOSSA_INGRESS takes two values; the error for any other names both."""
    for name in ("haproxy", "python"):
        monkeypatch.setenv("GLOSSA_INGRESS", name)
        assert default_ingress() == name
    monkeypatch.setenv("GLOSSA_INGRESS", "nginx")
    with pytest.raises(RuntimeError, match="expected haproxy or python"):
        default_ingress()


def test_more_replicas_than_ports_are_refused() -> None:
    """HAProxy needs a port for each replica. A catalog with more replicas is refused, with the limit and a way out."""
    check_fits(len(REPLICA_PORTS), "haproxy")
    check_fits(len(REPLICA_PORTS) + 1, "python")
    with pytest.raises(RuntimeError, match=r"got a catalog of 25 replicas.*expected at most 24.*--ingress python"):
        check_fits(len(REPLICA_PORTS) + 1, "haproxy")


def test_haproxy_is_narrowed_to_loopback(tmp_path: Path) -> None:
    """The wrapper makes every bind one on 127.0.0.1, sets the timeouts once, and passes all arguments on."""
    config = tmp_path / "haproxy.cfg"
    lines = [
        "    errorfile 503 /x/500.http",
        "    bind :9101",
        "  bind *:8404",
        "    bind 127.0.0.1:8000",
        "    bind *:1 proto h2",
        "    timeout http-keep-alive 7s",
        "    timeout client 30s",
        "    timeout client-fin 1s",
    ]
    config.write_text("\n".join(lines), encoding="utf-8")
    wrapper = tmp_path / "haproxy"
    wrapper.write_text(HAPROXY_WRAPPER.format(binary="/bin/echo", timeouts=HAPROXY_TIMEOUTS), encoding="utf-8")
    wrapper.chmod(0o700)
    narrowed = [line.replace("bind :", "bind 127.0.0.1:").replace("bind *:", "bind 127.0.0.1:") for line in lines[1:5]]
    patient = [
        "    timeout client 30s",
        "    timeout http-request 10s",
        "    timeout http-keep-alive 90s",
        "    option http-buffer-request",
        "    timeout client-fin 1s",
    ]
    for _ in range(2):
        said = subprocess.run([wrapper, "-db", "-f", config, "-sf", "1"], capture_output=True, text=True, check=True)
        assert said.stdout == f"-db -f {config} -sf 1\n"
        assert config.read_text(encoding="utf-8").splitlines() == [*narrowed, *patient]


def test_haproxy_does_not_start_without_its_timeouts(tmp_path: Path) -> None:
    """HAProxy is not run when the wrapper finds no line after which it can put the timeouts."""
    config, wrapper = tmp_path / "haproxy.cfg", tmp_path / "haproxy"
    config.write_text("    bind *:8404\n", encoding="utf-8")
    wrapper.write_text(HAPROXY_WRAPPER.format(binary="/bin/echo", timeouts=HAPROXY_TIMEOUTS), encoding="utf-8")
    wrapper.chmod(0o700)
    assert subprocess.run([wrapper, "-f", config], capture_output=True, check=False).returncode == 1


def test_session_folder_is_private_and_fresh(workspace: Workspace) -> None:
    """Only this user can enter the session folder, each start empties it, and log/ray is a link to its logs."""
    first = fresh_temp(workspace)
    (first / "old").touch()
    second = fresh_temp(workspace)
    assert first == second
    assert not list(second.iterdir())
    assert stat.S_IMODE(second.stat().st_mode) == 0o700
    assert (workspace.log / "ray").readlink() == second / "session_latest" / "logs"
    second.rmdir()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_ray_leaves_behind_is_ended(workspace: Workspace) -> None:
    """A process with this workspace's token path in its environment is ended; one with another path is not."""
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    other = Workspace(ROOT, workspace.home / "other")
    processes.start(workspace, "mine", command, {**os.environ, TOKEN_PATH: str(workspace.run / "ray-token")}, ROOT)
    processes.start(other, "theirs", command, {**os.environ, TOKEN_PATH: str(other.run / "ray-token")}, ROOT)
    try:
        end_leftovers(workspace, 0.0)
        assert processes._gone(workspace, "mine", 5.0)
        assert processes.alive(other, "theirs") is not None
    finally:
        processes.stop(workspace, "mine")
        processes.stop(other, "theirs")


def test_ray_knows_every_setting() -> None:
    """Ray ignores settings that it does not know, so each of ours must be found in Ray's Python or programs."""
    spec = find_spec("ray")
    assert spec is not None
    assert spec.origin is not None
    home = Path(spec.origin).parent
    texts = b"".join(path.read_bytes() for path in home.rglob("*.py"))
    programs = b"".join(
        (home / "core" / "src" / "ray" / name).read_bytes() for name in ("raylet/raylet", "gcs/gcs_server")
    )
    unknown = [
        name
        for name in IDLE_SETTINGS
        if name.encode() not in texts and name.removeprefix("RAY_").encode() not in programs
    ]
    assert not unknown
