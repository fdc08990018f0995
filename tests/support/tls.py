"""A Redis that speaks TLS, with a certificate that an authority of the tests' own has signed."""

from __future__ import annotations

import datetime
import ipaddress
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ops.local.redis_server import find_server
from tests.support.ports import free_port


@dataclass(frozen=True)
class Tls:
    """The options of a Redis that speaks TLS beside its plain port, and the port for that."""

    options: list[str]
    port: int
    #: certificate of the authority
    authority: Path

    def url(self, query: str = "", host: str = "localhost") -> str:
        return f"rediss://{host}:{self.port}/0{query and f'?{query}'}"

    @property
    def trusted(self) -> str:
        """The option of a URL that names the authority."""
        return f"ssl_ca_certs={self.authority}"


def tls(directory: Path) -> Tls:
    """Makes an authority and a certificate for this machine, in ``directory``."""
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _signed("authority of the tests", authority_key, "authority of the tests", authority_key)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _signed("localhost", key, "authority of the tests", authority_key)
    files = {
        "ca.pem": authority.public_bytes(serialization.Encoding.PEM),
        "redis.pem": certificate.public_bytes(serialization.Encoding.PEM),
        "redis.key": key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    }
    for name, content in files.items():
        (directory / name).write_bytes(content)
    port = free_port()
    options = ["--tls-port", str(port), "--tls-auth-clients", "no"]
    options += ["--tls-cert-file", str(directory / "redis.pem"), "--tls-key-file", str(directory / "redis.key")]
    options += ["--tls-ca-cert-file", str(directory / "ca.pem")]
    return Tls(options, port, directory / "ca.pem")


def server_with_tls() -> Path:
    """A server that was built with TLS, as Debian's is and the embedded Valkey is not. Where there is none the test is
    skipped; under ``TESTS_COMPLETE=1`` it fails."""
    for candidate in (find_server(), shutil.which("redis-server", path="/usr/bin:/usr/local/bin")):
        if candidate is not None and _has_tls(candidate):
            return Path(candidate)
    if os.environ.get("TESTS_COMPLETE") == "1":
        pytest.fail("no redis-server with TLS is installed, and TESTS_COMPLETE=1 says that every test must run")
    pytest.skip("no redis-server with TLS is installed; Debian's package redis-server has it")


def _has_tls(server: str) -> bool:
    # with a certificate that is none it says so; without TLS, that it lacks that
    command = [server, "--port", "0", "--tls-port", str(free_port()), "--tls-cert-file", "/nowhere"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return "Failed to configure TLS" in said.stdout


def _signed(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: str, issuer_key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=key is issuer_key, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
