"""Read the rest of a request's body before the response is sent, so that the client can receive the response."""

from __future__ import annotations

import time
from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.functional import SimpleLazyObject

# If a client sends more than this, or takes longer, its connection is closed instead.
_MOST_BYTES = 64 * 1024 * 1024
_LONGEST_SECONDS = 10.0
_CHUNK_BYTES = 256 * 1024


class DrainBody:
    """Middleware that reads and discards a body which a view refused without reading it (404, 413), for known callers.

    If a body is left unread, the server closes the connection. Most clients are still sending then, and report a broken
    pipe instead of the response. A client that sends `Expect: 100-continue` waits before it sends the body, and so
    needs no draining. Nobody reads for a caller who was not authenticated: that would cost a stranger nothing.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        has_body = request.META.get("CONTENT_LENGTH") not in (None, "", "0") and "HTTP_EXPECT" not in request.META
        if has_body and _is_authenticated(request):
            drain(request)
        return response


def _is_authenticated(request: HttpRequest) -> bool:
    """Whether the API authenticated the caller, and so replaced the lazy user of Django's middleware.

    Pages are left out: to evaluate the lazy user may cost a statement, and their bodies are not read piece by piece.
    """
    user = getattr(request, "user", None)
    return user is not None and type(user) is not SimpleLazyObject and user.is_authenticated


def drain(request: HttpRequest) -> None:
    """Read to the end of the body, or to the limits of this module. A lost connection is ignored."""
    deadline = time.monotonic() + _LONGEST_SECONDS
    left = _MOST_BYTES
    try:
        while left > 0 and time.monotonic() < deadline:
            chunk = request.read(_CHUNK_BYTES)
            if not chunk:
                return
            left -= len(chunk)
    except OSError:
        return
