"""Read what is left of a request's body before it is answered, so that the client lives to see the answer."""

from __future__ import annotations

import time
from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

# A client that sends more than this, or takes longer, finds its connection closed instead.
_MOST_BYTES = 64 * 1024 * 1024
_LONGEST_SECONDS = 10.0
_CHUNK_BYTES = 256 * 1024


class DrainBody:
    """Middleware: a body that was refused unread (413, 401, 404) is read and dropped.

    The server closes the connection where the body is left over; most clients are still writing then, and tell
    their user of a broken pipe instead of what is wrong. Who sends `Expect` waits for leave to write, and needs none.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if request.META.get("CONTENT_LENGTH") not in (None, "", "0") and "HTTP_EXPECT" not in request.META:
            drain(request)
        return response


def drain(request: HttpRequest) -> None:
    """Read to the end of the body, or to the limits of this module. A client that went away is none of our business."""
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
