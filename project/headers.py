"""What every answer says about itself: the content security policy, other headers, the label of the environment."""

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
    """Middleware: nothing is loaded from, or sent to, another host."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response


def of_every_answer() -> list[tuple[str, str]]:
    """What the middlewares give every answer to whoever may ask, for what answers before a request comes to them."""
    request = HttpRequest()
    if settings.SECURE_PROXY_SSL_HEADER is not None:
        name, https = settings.SECURE_PROXY_SSL_HEADER
        request.META[name] = https
    answer = SecurityMiddleware(ContentSecurityPolicy(lambda _: HttpResponse()))(request)
    assert isinstance(answer, HttpResponse)  # noqa: S101 - nothing here is asynchronous
    return [(name, value) for name, value in answer.headers.items() if name != "Content-Type"]


def environment_label(_: HttpRequest) -> list[str]:
    """The admin's badge: the environment's name, and a colour that warns in production."""
    name = settings.STEPWISE_ENVIRONMENT
    return [name, "danger" if name == "production" else "info"]
