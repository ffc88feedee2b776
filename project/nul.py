"""Refuse NUL characters in a page's query string: the admin passes filters to PostgreSQL, which refuses them."""

from __future__ import annotations

from collections.abc import Callable

from django.core.exceptions import BadRequest
from django.http import HttpRequest
from django.http.response import HttpResponseBase


class RefuseNul:
    """Middleware that answers 400, except below /api/: the API's own error names the parameter."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if "%00" in request.META.get("QUERY_STRING", "") and not request.path.startswith("/api/"):
            raise BadRequest("a NUL character in the query")
        return self.get_response(request)
