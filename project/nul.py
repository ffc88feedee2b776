"""Refuse NUL characters in addresses, queries and cookies: they end up in statements, and PostgreSQL refuses them."""

from __future__ import annotations

from collections.abc import Callable

from django.core.exceptions import BadRequest
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase

from runs.api.http import problems


class RefuseNul:
    """Middleware that answers 400; below /api/ 404 for an address, and the API's own error names a parameter.

    A cookie can have a NUL as well, because a quoted one may be written with escapes: `session="\\000..."`.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        api = request.path.startswith(problems.API_PREFIX)
        if "\0" in request.path_info:
            if api:
                return _problem(404, "there is nothing at this address; it has a NUL character (%00)")
            raise BadRequest("a NUL character in the address")
        if "%00" in request.META.get("QUERY_STRING", "") and not api:
            raise BadRequest("a NUL character in the query")
        if any("\0" in value for value in request.COOKIES.values()):
            if api:
                return _problem(400, "a cookie has a NUL character; send no cookies, but a token")
            raise BadRequest("a NUL character in a cookie")
        return self.get_response(request)


def _problem(status: int, detail: str) -> JsonResponse:
    return JsonResponse(problems.body(status, detail), status=status, content_type=problems.CONTENT_TYPE)
