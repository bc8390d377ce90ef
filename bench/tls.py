"""An encrypted way to a sandbox: TLS is part of what a cold function has to do before it can answer."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import botocore
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

HOST = "127.0.0.1"
CHUNK = 65536


@contextmanager
def encrypted(url: str, folder: Path) -> Iterator[tuple[str, Path]]:
    """
    Serve the http *url* over https; yield its URL and the file of authorities for a client to trust.

    Those are all that botocore brings along, as against AWS, and one more: reading them takes its time.
    Certificates have RSA keys of 2,048 bits, like those of AWS's endpoints.
    """
    certificate, key = _certificate()
    own = folder / "server.pem"
    own.write_bytes(key + certificate)
    trusted = folder / "authorities.pem"
    trusted.write_bytes((Path(botocore.__file__).parent / "cacert.pem").read_bytes() + b"\n" + certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own)
    with socket.create_server((HOST, 0)) as door:
        threading.Thread(target=_open, args=(door, context, url), daemon=True).start()
        yield f"https://{HOST}:{door.getsockname()[1]}", trusted


def _certificate() -> tuple[bytes, bytes]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.PEM), secret


def _open(door: socket.socket, context: ssl.SSLContext, url: str) -> None:
    """Pass on whatever comes, until the door is closed."""
    where = urlsplit(url)
    while True:
        try:
            plain, _ = door.accept()
            client = context.wrap_socket(plain, server_side=True)
            server = socket.create_connection((where.hostname or HOST, where.port or 80))
        except OSError:  # closed, or a client that changed its mind
            if door.fileno() < 0:
                return
            continue
        for source, other in ((client, server), (server, client)):
            threading.Thread(target=_pump, args=(source, other), daemon=True).start()


def _pump(source: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while said := source.recv(CHUNK):
            other.sendall(said)
    with suppress(OSError):
        other.shutdown(socket.SHUT_WR)
