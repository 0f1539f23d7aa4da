"""Ray runs in short paths, with its own ports and token, without the caller's settings, and on 127.0.0.1 alone."""

from __future__ import annotations

import os
import stat
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from local import processes
from local.ports import ports
from local.ray_workspace import (
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
    assert len(f"{temp}/r/{SESSION}") <= SOCKET_PATH_BYTES
    state = Path(environment(workspace, "haproxy").get("RAY_SERVE_HAPROXY_SOCKET_PATH", "")).relative_to(temp)
    assert len(f"{temp}/{state.parent}/{'f' * NODE_ID_CHARS}/{state.name}.1234567.tmp") <= SOCKET_PATH_BYTES


def test_two_workspaces_share_nothing(workspace: Workspace, tmp_path: Path) -> None:
    """The session folders, tokens and ports of two workspaces differ."""
    own_base = ports(workspace).base  # nothing listens there yet, so one in 325 other paths has the same block
    others = (Workspace(ROOT, tmp_path / f"other{n}") for n in range(9))
    other = next(each for each in others if ports(each).base != own_base)
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


def test_session_folder_is_private_and_fresh(workspace: Workspace) -> None:
    """Only this user can enter the folder around the session, each start empties it, and log/ray is a link to logs."""
    first = fresh_temp(workspace)
    (first.parent / "old").touch()
    second = fresh_temp(workspace)
    assert first == second
    assert second.parent == temp_dir(workspace)
    assert not list(second.parent.iterdir())
    assert stat.S_IMODE(second.parent.stat().st_mode) == 0o700
    assert (workspace.log / "ray").readlink() == second / "session_latest" / "logs"
    second.parent.rmdir()


def test_a_folder_of_another_kind_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    """A link in the place of the session's folder is refused, and what it leads to stays as it is."""
    theirs = tmp_path / "theirs"
    theirs.mkdir(mode=0o755)
    temp_dir(workspace).symlink_to(theirs)
    try:
        with pytest.raises(RuntimeError, match="expected to make it ourselves"):
            fresh_temp(workspace)
        assert stat.S_IMODE(theirs.stat().st_mode) == 0o755
    finally:
        temp_dir(workspace).unlink()


def test_haproxy_listens_here_alone(workspace: Workspace) -> None:
    """The program that Ray starts as HAProxy keeps it on 127.0.0.1, and its files are in the private folder."""
    made = environment(workspace, "haproxy")
    wrapper = Path(made["RAY_SERVE_HAPROXY_BINARY_PATH"]).read_text(encoding="utf-8")
    assert "127.0.0.1:/" in wrapper
    assert "*:/" not in wrapper.replace("\\**:/", "")
    files = {name: Path(value) for name, value in made.items() if name.startswith("RAY_SERVE_HAPROXY") and "/" in value}
    assert files.pop("RAY_SERVE_HAPROXY_BINARY_PATH").parent == workspace.run
    assert len(files) == 5
    assert all(file.is_relative_to(temp_dir(workspace)) for file in files.values())


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
