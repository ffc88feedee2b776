"""The WSGI environ of a request that came as an RSGI scope (PEP 3333)."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import IO, Any, Protocol

_PROTOCOLS = {"1": "HTTP/1.0", "1.1": "HTTP/1.1", "2": "HTTP/2"}
# These two have names of their own in an environ.
_OWN_NAMES = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}
_OF_EVERY_REQUEST: dict[str, Any] = {
    "GATEWAY_INTERFACE": "CGI/1.1",
    "SCRIPT_NAME": "",
    "SERVER_SOFTWARE": "Granian",
    "wsgi.version": (1, 0),
    "wsgi.errors": sys.stderr,
    # Not in PEP 3333: the input ends where the body ends, also if the body has no Content-Length.
    "wsgi.input_terminated": True,
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
}


class Headers(Protocol):
    """The headers of a request, their names in small letters. Values that are not ASCII are left out."""

    def get(self, key: str, default: Any = None) -> Any:
        """Return the first value of this name."""

    def items(self) -> Iterable[tuple[str, str]]:
        """Return all headers; a name that was sent twice is there twice."""


class Scope(Protocol):
    """What an RSGI server says about a request. `client` and `server` are `address:port`, `path` is decoded UTF-8."""

    method: str
    path: str
    query_string: str
    scheme: str
    http_version: str
    client: str
    server: str
    authority: str | None
    headers: Headers


def build(scope: Scope, *, body: IO[bytes]) -> dict[str, Any]:
    """Return the environ, with `body` as `wsgi.input`.

    Headers of the same name are joined by a comma, cookies by a semicolon. A header with an underscore in its name is
    left out: `X_Forwarded_Proto` would be taken for the `X-Forwarded-Proto` that only a proxy may set.
    """
    server, _, port = scope.server.rpartition(":")
    client, _, client_port = scope.client.rpartition(":")
    environ = {
        **_OF_EVERY_REQUEST,
        "REQUEST_METHOD": scope.method,
        # PEP 3333: the bytes of the path, each as the character with its number.
        "PATH_INFO": scope.path if scope.path.isascii() else scope.path.encode().decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_PROTOCOL": _PROTOCOLS.get(scope.http_version, "HTTP/1.1"),
        "SERVER_NAME": server.strip("[]"),
        "SERVER_PORT": port,
        "REMOTE_ADDR": client.strip("[]"),
        "REMOTE_PORT": client_port,
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": body,
    }
    for name, value in scope.headers.items():
        if "_" in name:
            continue
        key = _OWN_NAMES.get(name) or "HTTP_" + name.upper().replace("-", "_")
        before = environ.get(key)
        environ[key] = value if before is None else before + ("; " if name == "cookie" else ",") + value
    if scope.authority is not None and "HTTP_HOST" not in environ:
        environ["HTTP_HOST"] = scope.authority
    return environ
