"""Answer every error as problem details (RFC 9457): type, title, status, detail, and errors with their paths."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import InterfaceError, InternalError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from django.views import defaults
from rest_framework.exceptions import APIException
from rest_framework.response import Response
from rest_framework.views import set_rollback

from actions.payload import PayloadError
from runs.control.keys import KeyTaken
from workflows.definitions.errors import DefinitionError, InputNotChecked, InvalidInput, Problem

log = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
API_PREFIX = "/api/"


class Refused(APIException):
    """An answer that is an error: its HTTP status, one sentence, the faults with their paths, and other members."""

    def __init__(
        self,
        detail: str,
        *,
        status: int = 400,
        problems: Iterable[Problem] = (),
        members: Mapping[str, Any] | None = None,
        wait: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.status_code = status
        self.problems = tuple(problems)
        self.members = dict(members or {})
        # Seconds, for the header Retry-After.
        self.wait = wait


def bad(path: str, message: str) -> Refused:
    """The 400 for a single fault, to be raised."""
    return refused([Problem(path, message)])


def refused(problems: Iterable[Problem]) -> Refused:
    """The 400 for these faults, to be raised."""
    found = tuple(problems)
    return Refused(_summary(found), problems=found)


def missing(what: str, key: str) -> Refused:
    """The 404 for an object that is not there, or is another workspace's."""
    return Refused(f"no {what} {key[:200]!r} in this workspace", status=404)


def conflict(detail: str, **members: str) -> Refused:
    """The 409 for a verb that is not legal now, to be raised; `state` says how the thing stands."""
    return Refused(detail, status=409, members=members)


def body(status: int, detail: str, problems: Iterable[Problem] = ()) -> dict[str, Any]:
    """The members of a problem. `errors` is there only where something has a path."""
    told: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    errors = [_error(problem) for problem in problems]
    return {**told, "errors": errors} if errors else told


def handler(exc: Exception, context: Mapping[str, Any]) -> Response | None:
    """DRF's exception handler. None for what nobody expected: that is a 500, logged by Django."""
    found = _translated(exc)
    if found is None:
        return None
    set_rollback()
    headers = {}
    if authenticate := getattr(found, "auth_header", None):
        headers["WWW-Authenticate"] = authenticate
    if wait := getattr(found, "wait", None):
        headers["Retry-After"] = str(int(wait))
    told = body(found.status_code, _sentence(found.detail), getattr(found, "problems", ()))
    told |= getattr(found, "members", {})
    return Response(told, status=found.status_code, headers=headers, content_type=CONTENT_TYPE)


def answer(exc: Exception) -> HttpResponse | None:
    """The same answer outside of DRF. None for what nobody expected."""
    found = _translated(exc)
    if found is None:
        return None
    told = body(found.status_code, _sentence(found.detail), getattr(found, "problems", ()))
    return JsonResponse(told, status=found.status_code, content_type=CONTENT_TYPE)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler400, for a foreign Host and the like: a problem below /api/, the usual page elsewhere."""
    if not request.path.startswith(API_PREFIX):
        return defaults.bad_request(request, exception)
    detail = "the request is not understood; its Host header has to be one of ALLOWED_HOSTS"
    return JsonResponse(body(400, detail), status=400, content_type=CONTENT_TYPE)


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Django's handler404: a problem below /api/, the usual page elsewhere."""
    if not request.path.startswith(API_PREFIX):
        return defaults.page_not_found(request, exception or Http404())
    return JsonResponse(body(404, "there is nothing at this address"), status=404, content_type=CONTENT_TYPE)


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500: a problem below /api/, the usual page elsewhere. The cause is in the log, not in it."""
    if not request.path.startswith(API_PREFIX):
        return defaults.server_error(request)
    return unexpected()


def unreadable(error: UnreadablePostError, *, members: Mapping[str, Any] | None = None) -> Refused:
    """The problem for a body that could not be read to its end: 408 if its sender was too slow, else 400."""
    if isinstance(error.__cause__, TimeoutError):
        return Refused(str(error.__cause__), status=408, members=members)
    return Refused("the connection broke off in the body", members=members)


def unexpected() -> HttpResponse:
    """The 500 for what nobody expected, which is in the log."""
    detail = "the server failed on this request; its log says why"
    return JsonResponse(body(500, detail), status=500, content_type=CONTENT_TYPE)


def _translated(exc: Exception) -> APIException | None:
    if isinstance(exc, APIException):
        return exc
    if isinstance(exc, InputNotChecked):
        return Refused(_summary(exc.problems), status=503, problems=exc.problems, wait=1)
    if isinstance(exc, (DefinitionError, InvalidInput)):
        return refused(exc.problems)
    if isinstance(exc, KeyTaken):
        hashes = {"first_hash": exc.conflict.first, "given_hash": exc.conflict.given}
        return Refused(str(exc), status=409, members={exc.conflict.what: str(exc.conflict.id), **hashes})
    if isinstance(exc, PayloadError):
        return bad(exc.path, str(exc))
    if isinstance(exc, Http404):
        return Refused("there is nothing at this address", status=404)
    if isinstance(exc, PermissionDenied):
        return Refused(str(exc) or "this account may not do that", status=403)
    if isinstance(exc, RequestDataTooBig):
        return Refused("the body is too large; send at most 10 MB", status=413)
    if isinstance(exc, UnreadablePostError):
        return unreadable(exc)
    if isinstance(exc, (OperationalError, InterfaceError)):
        # One of our own says what there is to do; the driver's speaks of servers and addresses.
        own = str(exc) if exc.__cause__ is None else ""
        return Refused(own or "the database does not answer; try again in a moment", status=503)
    if isinstance(exc, InternalError):
        # It is a standby, say, and read-only.
        log.error("database_refused", exc_info=exc)
        return Refused("the database refuses this request now; try again in a moment", status=503)
    return None


def _sentence(detail: object) -> str:
    if isinstance(detail, Mapping):
        return "; ".join(f"{key}: {_sentence(value)}" for key, value in detail.items())
    if isinstance(detail, list):
        return "; ".join(_sentence(value) for value in detail)
    return str(detail)


def _summary(problems: tuple[Problem, ...]) -> str:
    if not problems:
        return "the request is not understood"
    first = str(problems[0])
    return first if len(problems) == 1 else f"{first} (and {len(problems) - 1} more)"


def _error(problem: Problem) -> dict[str, Any]:
    told: dict[str, Any] = {"path": problem.path, "message": problem.message}
    return told if problem.line is None else {**told, "line": problem.line}
