"""The certificates that the machine trusts, where its OpenSSL looks for them. Nothing of the environment changes that.

libcurl comes with an OpenSSL of its own, which knows other paths.
"""

from __future__ import annotations

import re
import ssl
from functools import cache
from pathlib import Path

import pycurl

_HASHED = re.compile(r"[0-9a-f]{8}\.\d+")
# Where Linux distributions keep them, should OpenSSL's own paths be empty.
_FILES = (
    "/etc/ssl/cert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/cert.pem",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/ca-bundle.pem",
)


@cache
def trusted() -> tuple[tuple[int, str | None], ...]:
    """Return libcurl's options for the certificates: a file, a directory of files named by their hashes, or both.

    A directory alone is better: of a file, each new connection parses all certificates, which takes 13 ms and 0.8 MB.
    """
    paths = ssl.get_default_verify_paths()
    directory = Path(paths.openssl_capath)
    files = [paths.openssl_cafile] if _hashed(directory) else [paths.openssl_cafile, *_FILES]
    file = next((one for one in map(Path, files) if one.is_file()), None)
    if file is not None:
        # Debian writes what is in the file to the file's directory as well, Red Hat to one beside it.
        parent = file.resolve().parent
        same = [one for one in (parent, parent / "directory-hash") if _hashed(one) >= _certificates(file)]
        if same and (not _hashed(directory) or directory.resolve() in same):
            file, directory = None, same[0]
    # None takes away the path that libcurl was built with.
    return (pycurl.CAINFO, str(file) if file else None), (pycurl.CAPATH, str(directory) if _hashed(directory) else None)


def tls() -> ssl.SSLContext:
    """Return how Python's own TLS verifies servers: by the same certificates."""
    found = dict(trusted())
    return _verifying(found[pycurl.CAINFO], found[pycurl.CAPATH])


@cache
def _verifying(file: str | None, directory: str | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=file, capath=directory)


def _hashed(directory: Path) -> int:
    """Return how many certificates a directory has by their hashes."""
    return sum(1 for one in directory.iterdir() if _HASHED.fullmatch(one.name)) if directory.is_dir() else 0


def _certificates(file: Path) -> int:
    """Return how many certificates a file has; at least one."""
    return max(1, file.read_bytes().count(b"-----BEGIN CERTIFICATE-----"))
