"""URLs as the client sends them: checked, percent-encoded and without dot segments.

The reading is that of RFC 3986. A `%2e` stays as it is, and so does every other escape that the text already has.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urljoin

# Any text matches; a part that is missing is None, except for the path, which is then ''.
_URL = re.compile(r"(?:([a-zA-Z][a-zA-Z0-9+.-]*):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL)
_AUTHORITY = re.compile(r"(?:(.*)@)?(\[.*\]|[^:@]*):?(.*)", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HOST = re.compile(r"[a-z0-9_.-]{1,255}")
_FOUR_NUMBERS = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+")
_BEGINNINGS = ("http://", "https://")
_USERINFO = "it holds a user or password; send them as a header instead"
_PORTS = {"http": 80, "https": 443}
# What stays as it is beside letters, digits and -._~; the rest is percent-encoded.
_PATH = "!$%&'()*+,/:;=@[\\]^|"
_QUERY = _PATH + "?`{}"


class Url(NamedTuple):
    """An absolute URL of http or https, without user, password and fragment.

    `host` is ASCII in lower case; an IPv6 address has no brackets there. `authority` is the host and, unless it is the
    scheme's own, the port, as the Host header wants them; `origin` is the scheme before that. `target` is path and
    query, as the request line wants them; `path` alone may be empty.
    """

    scheme: str
    host: str
    port: int
    authority: str
    origin: str
    path: str
    query: str | None
    target: str

    @property
    def shown(self) -> str:
        """The URL for messages: without its query, which may hold secrets, and at most 300 characters."""
        return f"{self.origin}{self.path}"[:300]

    @property
    def text(self) -> str:
        """The whole URL."""
        return f"{self.origin}{self.path}" if self.query is None else f"{self.origin}{self.path}?{self.query}"


# A workflow sends most of its requests to a few URLs, and parsing one costs as much as a third of the whole client.
@lru_cache(maxsize=128)
def parse(text: str) -> Url:
    """Parse an absolute URL. Raises ValueError, which says what is wrong without naming the URL."""
    scheme, authority, path, query = _split(text)
    if scheme not in _PORTS or not authority:
        raise ValueError("it must begin with http:// or https:// and name a host")
    match = _AUTHORITY.fullmatch(authority)
    userinfo, host, port_text = match.groups() if match else ("", "", "")
    if userinfo:
        raise ValueError(_USERINFO)
    host = _host(host)
    port = _port(port_text) or _PORTS[scheme]
    shown = f"[{host}]" if ":" in host else host
    authority = shown if port == _PORTS[scheme] else f"{shown}:{port}"
    return Url(scheme, host, port, authority, f"{scheme}://{authority}", path, query, _target(path, query))


def beginning_fault(text: str) -> str | None:
    """Return why no URL that begins with this text can be used, or None."""
    lower = text.lower()
    if not any(lower.startswith(begin) or begin.startswith(lower) for begin in _BEGINNINGS):
        return "cannot be used: it must begin with http:// or https:// and name a host"
    authority = re.split(r"[/?#]", text.partition("://")[2], maxsplit=1)[0]
    return f"cannot be used: {_USERINFO}" if "@" in authority else None


def with_query(url: Url, query: Mapping[str, Any]) -> Url:
    """Return the URL with these parameters after those that it has, which stay as they are; a list gives several."""
    added = urlencode(
        [
            (name, _scalar(one))
            for name, value in query.items()
            for one in (value if isinstance(value, (list, tuple)) else [value])
        ]
    )
    text = "&".join(part for part in (url.query, added) if part)
    return url._replace(query=text, target=_target(url.path, text))


def join(base: Url, reference: str) -> str | None:
    """Return the URL, not yet checked, that a reference such as `../next?page=2` means; None if it is no reference."""
    try:
        scheme, authority, path, query = _split(reference)
        start = (f"{scheme}:" if scheme else "") + (f"//{authority}" if authority else "") + path
        return urljoin(base.text, start if query is None else f"{start}?{query}")
    except ValueError:
        return None


def _target(path: str, query: str | None) -> str:
    return (path or "/") if query is None else f"{path or '/'}?{query}"


def _split(text: str) -> tuple[str, str, str, str | None]:
    """Return scheme, authority, path and query of a URL or a relative reference, the latter two percent-encoded."""
    if bad := _CONTROL.search(text):
        raise ValueError(f"it has the control character {bad.group()!r} at position {bad.start()}")
    match = _URL.fullmatch(text)
    scheme, authority, path, query, _ = match.groups() if match else ("", "", "", None, None)
    scheme, authority = (scheme or "").lower(), authority or ""
    if (scheme or authority) and "." in path:
        path = _without_dots(path)
    return scheme, authority, quote(path, safe=_PATH), None if query is None else quote(query, safe=_QUERY)


def _without_dots(path: str) -> str:
    """Return the path without its segments `.` and `..`."""
    segments: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            if segments not in ([], [""]):
                segments.pop()
        elif segment != ".":
            segments.append(segment)
    return "/".join(segments)


def _host(text: str) -> str:
    """Return a host as ASCII in lower case. Raises ValueError for what can be no host."""
    if text.startswith("["):
        return _address(IPv6Address, text[1:-1])
    if _FOUR_NUMBERS.fullmatch(text):
        return _address(IPv4Address, text)
    if len(text) > 255:
        raise ValueError("its host is longer than 255 characters")
    host = text.lower()
    if not host.isascii():
        import idna  # most hosts are ASCII, and its tables take a megabyte

        host = idna.encode(host).decode()
    if not _HOST.fullmatch(host):
        raise ValueError(f"it names no host: {text[:100]!r} is none" if text else "it names no host")
    return host


def _address(kind: type[IPv4Address | IPv6Address], text: str) -> str:
    if "%" in text:
        raise ValueError(f"{text[:100]!r} names a network interface, which is refused")
    kind(text)
    return text


def _port(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:6]) < 65536):
        raise ValueError(f"its port {text[:20]!r} is no number from 1 to 65535")
    return int(text)


def _scalar(value: Any) -> str:
    """Return one value of a query: booleans as JSON writes them, None as an empty text."""
    if value is None or isinstance(value, bool):
        return {None: "", True: "true", False: "false"}[value]
    return str(value)
