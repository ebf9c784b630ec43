"""Certificates for a private ZooKeeper and its clients, made for one run."""

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from nodepool_ng.sim.zookeeper import TlsFiles

DAY = datetime.timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """PEM files: the authority, and one pair that serves for the server and for every client."""

    ca: Path
    cert: Path
    key: Path
    server: TlsFiles


def make(folder: Path) -> Certificates:
    """Make an authority and a pair signed by it, good for a day."""
    folder.mkdir(parents=True, exist_ok=True)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name, name = _name("tests' authority"), _name("localhost")
    ca = _certificate(ca_name, ca_key, ca_name, ca_key, x509.BasicConstraints(ca=True, path_length=0))
    where = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))])
    certificate = _certificate(name, key, ca_name, ca_key, where)
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    files = {
        "ca.pem": ca.public_bytes(Encoding.PEM),
        "cert.pem": certificate.public_bytes(Encoding.PEM),
        "key.pem": key_pem,
        "both.pem": key_pem + certificate.public_bytes(Encoding.PEM),
    }
    for file, data in files.items():
        (folder / file).write_bytes(data)
    return Certificates(
        ca=folder / "ca.pem",
        cert=folder / "cert.pem",
        key=folder / "key.pem",
        server=TlsFiles(key_and_certificate=folder / "both.pem", authority=folder / "ca.pem"),
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _certificate(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    extension: x509.ExtensionType,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
        .add_extension(extension, critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
