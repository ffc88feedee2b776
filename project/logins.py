"""The throttle of failed logins, by name and address together and by address alone; django-axes counts them.

A name alone is never locked: whoever knows the admin's name could otherwise lock the admin out from everywhere.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from axes.attempts import get_cool_off_threshold
from axes.handlers.database import AxesDatabaseHandler
from axes.models import AccessAttempt
from django.conf import settings
from django.db.models import Sum
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

# Whoever has one IPv6 address has its network, and so as many addresses as they like.
_IPV6_NETWORK_BITS = 64
# An address with its port is at most this long; longer entries are no addresses.
_LONGEST_ADDRESS = 60


class ByNameAndAddress(AxesDatabaseHandler):  # type: ignore[misc]  # axes has no types
    """Counts in the database. A login is refused at LOGIN_FAILURES of its name and address, or LOGIN_ADDRESS_FAILURES.

    The login of a known user forgets the failures of that name from that address only, so that nobody can use an
    account of their own to guess on.
    """

    def is_locked(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> bool:
        """Whether the login is refused before its password is looked at."""
        return super().is_locked(request, credentials) or _failures_of_address(request) >= _address_bound()


def address_of(request: HttpRequest) -> str | None:
    """The address that a request counts for; of an IPv6 address its network of 64 bits. None for a Unix socket.

    It is the connection's, unless TRUSTED_PROXIES says how many proxies stand in front: each of them appends the
    address that it was asked from to X-Forwarded-For, so that many entries from the right are true, and whatever
    stands to the left of them is the client's own word.
    """
    connection = request.META.get("REMOTE_ADDR", "")
    proxies: int = settings.TRUSTED_PROXIES
    if not proxies:
        return _normal(connection)
    entries = request.META.get("HTTP_X_FORWARDED_FOR", "").rsplit(",", proxies)
    told = entries[-proxies] if len(entries) >= proxies else ""
    return _normal(told) or _normal(connection)


def locked(request: HttpRequest, *_: object) -> HttpResponse:
    """The answer to a login that is refused because too many failed: a page of status 429, in plain words."""
    minutes: int = settings.LOGIN_LOCK_MINUTES
    bounds = {"minutes": minutes, "of_name": settings.LOGIN_FAILURES, "of_address": _address_bound()}
    headers = {"Retry-After": str(minutes * 60), "Cache-Control": "no-store"}
    return HttpResponse(render_to_string("429.html", bounds, request=request), status=429, headers=headers)


def _failures_of_address(request: HttpRequest) -> int:
    found = AccessAttempt.objects.filter(
        ip_address=request.axes_ip_address,  # type: ignore[attr-defined]  # axes sets it
        attempt_time__gte=get_cool_off_threshold(request),
    )
    return int(found.aggregate(count=Sum("failures_since_start"))["count"] or 0)


def _address_bound() -> int:
    return int(settings.LOGIN_ADDRESS_FAILURES)


def _normal(text: str) -> str | None:
    """The address as text in its usual form, or None where it is not one. Some proxies write a port behind it."""
    text = text.strip()
    if len(text) > _LONGEST_ADDRESS:
        return None
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.IPv6Network((int(address), _IPV6_NETWORK_BITS), strict=False).network_address)
    return str(address)
