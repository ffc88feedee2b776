"""Read the rest of a request's body before the response is sent, so that the client can receive the response."""

from __future__ import annotations

import time
from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

# If a client sends more than this, or takes longer, its connection is closed instead.
_MOST_BYTES = 64 * 1024 * 1024
_LONGEST_SECONDS = 10.0
_CHUNK_BYTES = 256 * 1024


class DrainBody:
    """Middleware that reads and discards a body which a view refused without reading it (401, 404, 413).

    If a body is left unread, the server closes the connection. Most clients are still sending then, and report a broken
    pipe instead of the response. A client that sends `Expect: 100-continue` waits before it sends the body, and so
    needs no draining.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if request.META.get("CONTENT_LENGTH") not in (None, "", "0") and "HTTP_EXPECT" not in request.META:
            drain(request)
        return response


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
