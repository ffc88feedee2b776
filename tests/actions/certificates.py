"""A certificate for 127.0.0.1 that nobody trusts, unless a test says so."""

from __future__ import annotations

import hashlib
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

# By which OpenSSL finds the certificate in a directory: SHA-1 of the name CN=test in DER, its first four bytes.
_NAME = bytes.fromhex("310d300b06035504030c04") + b"test"
NAME_HASH = f"{int.from_bytes(hashlib.sha1(_NAME).digest()[:4], 'little'):08x}.0"


def served(directory: Path) -> ssl.SSLContext:
    """Return the TLS of a server whose certificate is for 127.0.0.1; the certificate is written to `trusted.pem`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    certificate = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    (directory / "trusted.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (directory / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, *private))
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.load_cert_chain(directory / "trusted.pem", directory / "key.pem")
    return found
