"""`glossa proxy`: signs requests to one API with your AWS credentials, for clients that send a Bearer token.

Must not know how requests are passed on.
"""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

import click

from glossa.client.signing import aws_credentials
from glossa.commands.remote.options import examples, url_option
from glossa.commands.remote.settings import api_address
from glossa.proxy.app import Proxy
from glossa.proxy.guard import Guard
from glossa.proxy.server import bind, server_of
from glossa.proxy.upstream import Upstream

TOKEN_VARIABLE = "GLOSSA_PROXY_TOKEN"  # noqa: S105 - the name of a variable, not its value
USUAL_PORT = 8788
HELP = """\
Pass requests of this machine on to an API with Auth=iam, signed with your AWS credentials.

Clients of OpenAI, Cohere or Hugging Face then work as they are: they take the address of the proxy, and its token as
their key. The token is made for each start and printed once, unless GLOSSA_PROXY_TOKEN or --token-file has one. Ctrl-C
ends it.
"""
EXAMPLES = examples(
    "glossa proxy --url https://abc123.execute-api.eu-central-1.amazonaws.com/live",
    "AWS_PROFILE=team glossa proxy --url https://nlp.example.com --region eu-central-1 --port 9000",
)


@click.command("proxy", help=HELP, epilog=EXAMPLES, short_help="Sign the requests of other clients on this machine.")
@url_option
@click.option("--region", metavar="REGION", help="Of an API with a domain of its own. Default: as its address says.")
@click.option("--host", default="127.0.0.1", show_default=True, help="A loopback address.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=USUAL_PORT, show_default=True, help="0 takes a free one."
)
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Holds the token.",
)
def proxy_command(*, url: str | None, region: str | None, host: str, port: int, token_file: Path | None) -> int:
    """Run the command until it is interrupted; return its exit code."""
    import httpx2  # noqa: PLC0415 - takes 150 ms, and only a proxy needs it

    upstream = Upstream.at(api_address(url), region, aws_credentials)
    token, is_new = read_token(token_file)
    aws_credentials()  # raises now, not at the first request
    with bind(host, port) as bound:
        guard = Guard(token, bound.getsockname()[1], bound.getsockname()[0])
        server = server_of(Proxy(guard, upstream, httpx2.AsyncClient(), say))
        name = f"[{host}]" if ":" in host else host
        print_start(f"http://{name}:{guard.port}", upstream, token if is_new else None)
        server.run(sockets=[bound])
    return 0


def read_token(file: Path | None) -> tuple[str, bool]:
    """Return the token of the file or of the environment, else a new one; True when it is new."""
    if file is not None:
        return file.read_text(encoding="utf-8").strip(), False
    given = os.environ.get(TOKEN_VARIABLE, "")
    return (given, False) if given else (secrets.token_urlsafe(32), True)


def print_start(address: str, upstream: Upstream, token: str | None) -> None:
    """Print what a shell takes to standard output, and all else to standard error. A token is printed here alone."""
    print(f"export GLOSSA_API_URL={address}")
    if token is not None:
        print(f"export GLOSSA_API_KEY={token}", flush=True)
    say(f"signs for {upstream.url} in {upstream.region}")
    say(f"OpenAI's clients take {address}/v1 as base URL, Hugging Face's {address}/hf/MODEL:HEAD, others {address}")
    say("the key is " + ("printed above, once" if token else "the token that you gave"))


def say(line: str) -> None:
    """Print a line for a person."""
    print(f"glossa proxy: {line}", file=sys.stderr, flush=True)
