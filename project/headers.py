"""The security headers of every response; and of the admin's pages, what its theme asks for: badge, icon, styles."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.security import SecurityMiddleware
from django.templatetags.static import static
from django.utils.cache import patch_vary_headers

_GetResponse = Callable[[HttpRequest], HttpResponseBase]

_REST = "img-src 'self' data:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
# Of everything that a stranger can open: nothing inline, nothing evaluated, nothing of another host.
STRICT = f"default-src 'self'; script-src 'self'; style-src 'self'; {_REST}"
# The admin theme's Alpine.js evaluates attributes and styles inline; all of it comes from this host.
ADMIN = (
    f"default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; {_REST}"
)
_ADMIN_PAGES = "/admin/"
# Answers that are somebody's own: no cache on the way may keep them.
_OWN = ("/api/", "/metrics")


class ContentSecurityPolicy:
    """Middleware that sets the Content-Security-Policy: pages load nothing from, and send nothing to, another host.

    Inline scripts are allowed on the admin's pages alone, and there only for people who have logged in.
    """

    def __init__(self, get_response: _GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", ADMIN if _is_admin_page(request, response) else STRICT)
        return response


class KeepNothing:
    """Middleware that tells browsers and proxies not to keep answers of the API, and what these depend on."""

    def __init__(self, get_response: _GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if request.path.startswith(_OWN):
            response.headers["Cache-Control"] = "no-store"
            patch_vary_headers(response, ["Authorization", "Cookie"])
        return response


def of_every_answer() -> list[tuple[str, str]]:
    """Return the headers that the security middlewares set on every response of the API.

    They are for responses that are sent without the middlewares, such as those of runs/api/fast_start.py.
    """
    request = HttpRequest()
    request.path = request.path_info = _OWN[0]
    if settings.SECURE_PROXY_SSL_HEADER is not None:
        name, https = settings.SECURE_PROXY_SSL_HEADER
        request.META[name] = https
    response = SecurityMiddleware(ContentSecurityPolicy(KeepNothing(lambda _: HttpResponse())))(request)
    assert isinstance(response, HttpResponse)  # noqa: S101 - nothing here is asynchronous
    return [(name, value) for name, value in response.headers.items() if name != "Content-Type"]


def environment_label(_: HttpRequest) -> list[str]:
    """Return the text and the colour of the admin's badge: the environment's name, in red for production."""
    name = settings.STEPWISE_ENVIRONMENT
    return [name, "danger" if name == "production" else "info"]


def favicon(_: HttpRequest) -> str:
    """Return the address of the icon that browsers show beside a page's title."""
    return static("runs/favicon.svg")


def phone_styles(_: HttpRequest) -> str:
    """Return the address of the styles that all pages of the admin need on narrow screens."""
    return static("runs/phones.css")


def _is_admin_page(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Whether this is a page of the admin that only people with a login see. Errors need no script."""
    if not request.path.startswith(_ADMIN_PAGES) or response.status_code != HTTPStatus.OK:
        return False
    user = getattr(request, "user", None)
    return bool(getattr(user, "is_active", False) and getattr(user, "is_staff", False))
