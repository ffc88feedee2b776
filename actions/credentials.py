"""A stored credential as an action gets it: opened, with the places that it may be sent to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import NamedTuple

from actions.base import Permanent

_HOST = re.compile(r"(?:(?P<scheme>https?)://)?(?P<host>\[[0-9a-fA-F:.]+\]|[^:/\[\]]+)(?::(?P<port>[0-9]{1,5}))?")
_NAME = re.compile(r"(?:\*\.)?(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_PORTS = {"https": 443, "http": 80}
MOST_HOST = 260


class Host(NamedTuple):
    """An entry of a credential's `hosts`. `scheme` is http only if the entry says so; `port` is None for any server.

    `api.example.com` means https on port 443, `api.example.com:8443` https on that port, `http://crm.local:8000` plain
    http, and `*.example.com` every name below example.com.
    """

    scheme: str
    name: str
    port: int | None

    def holds(self, scheme: str, name: str, port: int) -> bool:
        """Whether a request to this place is one to the entry."""
        below = self.name.startswith("*.") and name.endswith(self.name[1:])
        return (below or name == self.name) and scheme == self.scheme and port in (self.port, None)


def parse_host(text: str) -> Host:
    """Return an entry of `hosts`. Raises ValueError, which says what is wrong, for what is none."""
    match = _HOST.fullmatch(text.strip().lower()) if len(text) <= MOST_HOST else None
    if match is None:
        raise ValueError("is no host; write api.example.com, api.example.com:8443, *.example.com or http://host:port")
    scheme, name = match["scheme"] or "https", match["host"].strip("[]").rstrip(".")
    port = int(match["port"]) if match["port"] else _PORTS[scheme]
    if not 1 <= port <= 65_535:
        raise ValueError(f"has the port {port}; give one from 1 to 65535")
    if _is_address(name):
        return Host(scheme, str(ip_address(name)), port)
    try:
        name = name.encode("idna").decode() if not name.isascii() else name
    except UnicodeError:
        raise ValueError("is no host name") from None
    if not _NAME.fullmatch(name):
        raise ValueError("is no host name; a * stands only for the names below a domain, as in *.example.com")
    if name.startswith("*.") and "." not in name[2:]:
        raise ValueError("is a whole top-level domain; name one below it, as in *.example.com")
    return Host(scheme, name, port)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _nothing() -> None:
    pass


@dataclass(frozen=True, repr=False)
class Credential:
    """An opened credential: its name, kind and values, and where these may be sent.

    `id` is the row's, so that nothing is shared between two credentials. `secrets` are those of its values that nobody
    may see. `rejected` is to be called when the receiver did not accept it: an access token that is kept is forgotten.
    """

    id: str
    name: str
    kind: str
    values: Mapping[str, str]
    hosts: tuple[Host, ...] = ()
    secrets: frozenset[str] = frozenset()
    rejected: Callable[[], None] = field(default=_nothing, compare=False)

    def __repr__(self) -> str:
        return f"<credential {self.name!r} of kind {self.kind}>"

    def permits(self, scheme: str, host: str, port: int) -> bool:
        """Whether it may be sent to this place."""
        return any(one.holds(scheme, host, port) for one in self.hosts)

    def check(self, scheme: str, host: str, port: int) -> None:
        """Raise Permanent of kind `blocked` if it may not be sent to this place."""
        if self.permits(scheme, host, port):
            return
        place = host if port == _PORTS.get(scheme) else f"{host}:{port}"
        if scheme == "http":
            place = f"http://{place}"
        raise Permanent(
            f"credential {self.name!r} may not be sent to {place}: its hosts are {self.shown_hosts or 'none'}; add "
            "this one to them if it is meant",
            kind="blocked",
            details={"credential": self.name, "host": place},
        )

    @property
    def shown_hosts(self) -> str:
        """Its hosts in one line."""
        return ", ".join(shown_host(one) for one in self.hosts)


def shown_host(host: Host) -> str:
    """Return an entry of `hosts` as it is written."""
    name = f"[{host.name}]" if ":" in host.name else host.name
    port = "" if host.port in (None, _PORTS.get(host.scheme)) else f":{host.port}"
    return f"{'http://' if host.scheme == 'http' else ''}{name}{port}"


def wrong_kind(credential: Credential, *, wanted: Iterable[str], action: str) -> Permanent:
    """Return the failure of an action that cannot use a credential of this kind."""
    return Permanent(
        f"credential {credential.name!r} is of kind {credential.kind}, which {action} cannot use; it takes one of kind "
        f"{', '.join(sorted(wanted))}",
        kind="credential",
    )
