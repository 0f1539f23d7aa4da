"""Calls over https to a real TLS server, whose certificate a private authority made in this test has signed."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from functions.replica.client import ReplicaClient
from functions.replica.transport import HttpTransport, NotConnected, Reply

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
Signed = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def certificate(name: str, issuer: Signed | None = None) -> Signed:
    """Make a certificate for 127.0.0.1, signed by an issuer; without one, that of an authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    by, by_key = (subject, key) if issuer is None else (issuer[0].subject, issuer[1])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - dt.timedelta(days=1))
        .not_valid_after(NOW + dt.timedelta(days=36_500))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by_key.public_key()), critical=False)
    )
    if issuer is not None:
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        made = made.add_extension(names, critical=False)
    return made.sign(by_key, hashes.SHA256()), key


def pem(made: Signed) -> str:
    """Return a certificate in PEM."""
    return made[0].public_bytes(serialization.Encoding.PEM).decode()


AUTHORITY = certificate("authority of the test")


class _Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Serve over TLS with a certificate of the authority; yields the port."""
    folder: Path = tmp_path_factory.mktemp("tls")
    server_certificate, key = certificate("server", AUTHORITY)
    (folder / "server.pem").write_bytes(
        server_certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    server = HTTPServer(("127.0.0.1", 0), _Ready)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield int(server.server_address[1])
    server.shutdown()
    server.server_close()


def ask(url: str, ca: str | None) -> Reply:
    """Send one request. Raises TransportError."""
    transport = HttpTransport(url, ca=ca, clock=time.monotonic)
    try:
        return transport.send("GET", "/v2/health/ready", {}, b"", timeout_s=5.0, max_bytes=100)
    finally:
        transport.close()


def test_a_server_of_the_private_authority_is_trusted(port: int) -> None:
    """The functions carry the certificate of the authority, and reach the server with it."""
    assert ask(f"https://127.0.0.1:{port}", pem(AUTHORITY)).status == 200
    assert ReplicaClient(f"https://127.0.0.1:{port}", ca=pem(AUTHORITY)).ready()


@pytest.mark.parametrize("ca", [None, pem(certificate("another authority"))], ids=["public", "another"])
def test_a_server_of_another_authority_is_not(port: int, ca: str | None) -> None:
    """Neither a public authority nor another private one has signed the server's certificate."""
    with pytest.raises(NotConnected, match="SSLError"):
        ask(f"https://127.0.0.1:{port}", ca)


def test_a_server_with_another_name_is_not(port: int) -> None:
    """The certificate is for an address, and the server is called by another."""
    with pytest.raises(NotConnected):
        ask(f"https://localhost:{port}", pem(AUTHORITY))
