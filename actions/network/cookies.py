"""Cookies that servers set on the way of one request through its redirects (RFC 6265), and send on with it.

Nothing is kept from one request to the next.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from actions.network.urls import Url

# As of browsers; what is beyond is ignored.
MAX_COOKIES = 50
MAX_COOKIE = 4096
_PAIR = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c\x3e-\x7e]+=[\x20-\x3a\x3c-\x7e]*")
_SECONDS = re.compile(r"-?\d{1,18}", re.ASCII)
_FOUR_NUMBERS = re.compile(r"[\d.]+")


class _Cookie(NamedTuple):
    pair: str
    host: str
    subdomains: bool
    path: str
    secure: bool


class Cookies:
    """The cookies of one request, by name, domain and path."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str, str], _Cookie] = {}

    def take(self, url: Url, lines: Iterable[str]) -> None:
        """Keep what the Set-Cookie headers of a response from this URL say."""
        for line in lines:
            cookie, live = _parsed(line, url) if len(line) <= MAX_COOKIE else (None, False)
            if cookie is None:
                continue
            place = (cookie.pair.partition("=")[0], cookie.host, cookie.path)
            self._kept.pop(place, None)
            if live and len(self._kept) < MAX_COOKIES:
                self._kept[place] = cookie

    def header(self, url: Url, *, given: str = "") -> str:
        """Return the Cookie header of a request to this URL; `given` is the header that the caller wants to send."""
        own = [cookie for cookie in self._kept.values() if _belongs(cookie, url)]
        # Longer paths first, as servers take the first one of a name.
        pairs = [cookie.pair for cookie in sorted(own, key=lambda cookie: -len(cookie.path))]
        names = {pair.partition("=")[0] for pair in pairs}
        kept = [pair for one in given.split(";") if (pair := one.strip()) and pair.partition("=")[0] not in names]
        return "; ".join([*kept, *pairs])


def _parsed(line: str, url: Url) -> tuple[_Cookie | None, bool]:
    """Return the cookie of a Set-Cookie header, and whether it is live, not deleted; None for one that is ignored."""
    first, *rest = line.split(";")
    pair = first.strip()
    if not _PAIR.fullmatch(pair):
        return None, False
    said: dict[str, str] = {}
    for one in rest[:50]:
        name, _, value = one.partition("=")
        said[name.strip().lower()] = value.strip()
    domain = said.get("domain", "").lower().removeprefix(".")
    if domain and not _may_set(url.host, domain):
        return None, False
    path = said.get("path", "")
    if not path.startswith("/"):
        path = url.path.rpartition("/")[0] or "/"
    secure = "secure" in said
    if secure and url.scheme != "https":
        return None, False
    return _Cookie(pair, domain or url.host, bool(domain), path, secure), _live(said)


def _may_set(host: str, domain: str) -> bool:
    """Whether a host may set cookies for a domain: its own, or one above it that is no top-level domain."""
    return host == domain or (host.endswith(f".{domain}") and "." in domain and not _FOUR_NUMBERS.fullmatch(host))


def _live(said: dict[str, str]) -> bool:
    age = said.get("max-age", "")
    if _SECONDS.fullmatch(age):
        return int(age) > 0
    try:
        ends = parsedate_to_datetime(said.get("expires", "")[:100])
        return (ends if ends.tzinfo is not None else ends.replace(tzinfo=UTC)) > datetime.now(UTC)
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError):
        return True  # no date; the parser raises more than it says


def _belongs(cookie: _Cookie, url: Url) -> bool:
    if url.host != cookie.host and not (cookie.subdomains and url.host.endswith(f".{cookie.host}")):
        return False
    path = url.path or "/"
    below = path == cookie.path or path.startswith(cookie.path if cookie.path.endswith("/") else f"{cookie.path}/")
    return below and (url.scheme == "https" or not cookie.secure)
