"""The security headers of every response, and the admin's badge with the environment's name."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.security import SecurityMiddleware

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
    """Middleware that sets the Content-Security-Policy: pages load nothing from, and send nothing to, another host."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response


def of_every_answer() -> list[tuple[str, str]]:
    """Return the headers that the security middlewares set on every response.

    They are for responses that are sent without the middlewares, such as those of runs/api/fast_start.py.
    """
    request = HttpRequest()
    if settings.SECURE_PROXY_SSL_HEADER is not None:
        name, https = settings.SECURE_PROXY_SSL_HEADER
        request.META[name] = https
    response = SecurityMiddleware(ContentSecurityPolicy(lambda _: HttpResponse()))(request)
    assert isinstance(response, HttpResponse)  # noqa: S101 - nothing here is asynchronous
    return [(name, value) for name, value in response.headers.items() if name != "Content-Type"]


def environment_label(_: HttpRequest) -> list[str]:
    """Return the text and the colour of the admin's badge: the environment's name, in red for production."""
    name = settings.STEPWISE_ENVIRONMENT
    return [name, "danger" if name == "production" else "info"]
