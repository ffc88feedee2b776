"""What every page says about itself: the content security policy, and the label of the environment."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

# The admin theme's Alpine.js evaluates attributes and styles inline; all of it comes from this host.
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)


class ContentSecurityPolicy:
    """Middleware: nothing is loaded from, or sent to, another host."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response


def environment_label(_: HttpRequest) -> list[str]:
    """The admin's badge: the environment's name, and a colour that warns in production."""
    name = settings.STEPWISE_ENVIRONMENT
    return [name, "danger" if name == "production" else "info"]
