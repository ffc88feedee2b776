"""The fast path of POST /api/v1/workflows/{id or name}/runs: in front of Django, with a group commit.

It responds to starts that succeed, and to starts that failed so late that the run may exist. Every other request (no
token, an error in the body, an unknown workflow) goes on to runs.api.resources.start_run.StartedRuns, which says what
is wrong, and which the OpenAPI schema describes.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING
from uuid import UUID

import orjson
from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.core.handlers.wsgi import WSGIRequest
from django.db import DatabaseError, InterfaceError, close_old_connections
from django.http import UnreadablePostError
from pydantic import ValidationError

from actions import payload
from actions.payload import PayloadError
from runs.api.http import idempotency, problems
from runs.api.http.lookups import named_workflows
from runs.api.http.problems import Refused
from runs.control import concurrency, starts
from runs.control.starts import Recipe
from runs.domain.requests import Authorization, Request
from runs.schemas.requests import StartRun
from workflows.definitions.errors import InvalidInput
from workflows.models import Workflow
from workflows.workspaces import permissions, tokens
from workflows.workspaces.permissions import Right

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

WAY = permissions.way("api: workflows_start in front of Django", Right.START)
_BEFORE, _BEHIND = "/api/v1/workflows/", "/runs"
_SCHEME = "Bearer "
# Larger bodies are left to Django's view, which has its own limits.
_MOST_BYTES = 1024 * 1024
_MOST_KEPT = 10_000
# Few, because an installation has few host names, and they are cached before any token is checked.
_MOST_HOSTS = 64
_LONGEST_HOST = 255

# Caches: the workspace of each token that may start runs, by its sha256, and recipes by workspace and key (a
# workflow's id or name). No entry is trusted: the statement that inserts the run checks token, scope, name and version
# again, each time.
_workspaces: dict[str, UUID] = {}
_recipes: dict[tuple[UUID, str], Recipe] = {}
# Cache of Host headers that ALLOWED_HOSTS accepts.
_hosts: set[str] = set()


class StartSingle:
    """WSGI middleware that responds to the starts that it can handle, and hands on every other request.

    Django's handler, signals and middleware take more time than a start itself. `headers` are those that they would add
    to every response.
    """

    def __init__(self, application: WSGIApplication, *, headers: Iterable[tuple[str, str]]) -> None:
        self._application = application
        self._headers = tuple(headers)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "POST" and environ["PATH_INFO"].endswith(_BEHIND):
            found = _answer(environ)
            if found is not None:
                status, kind, content = found
                own = ("Content-Type", kind), ("Content-Length", str(len(content)))
                start_response(status, [*own, *self._headers])
                return [content]
        return self._application(environ, start_response)


# A workspace, and the id or name of a workflow in it.
_Place = tuple[UUID, str]
# Status line, content type and body.
_Answer = tuple[str, str, bytes]


def _answer(environ: WSGIEnvironment) -> _Answer | None:
    try:
        asked_for = _read(environ)
        if asked_for is None:
            return None
        place, recipe, request = asked_for
        started = starts.insert_together(request, recipe=recipe)
    except Exception as error:
        # The run may have been inserted, so the request must not be handed on, which would start it again.
        return _failed(error)
    if started.outdated and request.authorization is not None:
        _workspaces.pop(request.authorization.token, None)
        _recipes.pop(place, None)
        return None
    if started.conflict is not None:
        return None
    if request.authorization is not None:
        tokens.note_use(request.authorization.token)
    content = orjson.dumps({"id": started.run_id, "state": started.state})
    return "201 Created" if started.created else "200 OK", "application/json", content


def _failed(error: Exception) -> _Answer:
    known = problems.answer(error)
    found = known or problems.unexpected()
    if found.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        details = {"status_code": found.status_code, "error": repr(error)}
        log.error("start_failed", extra=details, exc_info=error if known is None else None)
    # As Django does after each request: the next one must not get a broken connection.
    close_old_connections()
    return f"{found.status_code} {found.reason_phrase}", found.headers["Content-Type"], found.content


def _read(environ: WSGIEnvironment) -> tuple[_Place, Recipe, Request] | None:
    """Return the place, recipe and start request; None if Django's view is to read it from its beginning."""
    if not _is_plain(environ):
        return None
    try:
        target = _find_target(environ)
        if target is None:
            return None
        token, place, recipe = target
        body = _body(environ)
        environ["wsgi.input"] = io.BytesIO(body)
        wanted = StartRun.model_validate(payload.loads(body))
        key = idempotency.key_of(environ, body=wanted.idempotency_key)
        authorization = Authorization(token, recipe.workflow.name)
        request = Request(wanted.input, key, wanted.labels, wanted.priority, authorization, wanted.compares)
        starts.check([request], version=recipe.version)
        concurrency.check_key(recipe.version, request.input)
    except (PayloadError, ValidationError, InvalidInput, Refused, DatabaseError, InterfaceError):
        return None
    return place, recipe, request


def _body(environ: WSGIEnvironment) -> bytes:
    """Return the body. Raises UnreadablePostError if it does not come to its end."""
    try:
        body: bytes = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    except OSError as error:
        raise UnreadablePostError(*error.args) from error
    return body


def _is_plain(environ: WSGIEnvironment) -> bool:
    """Whether the request has the usual form: token, small JSON body with its length, ASCII path, allowed host."""
    length = environ.get("CONTENT_LENGTH") or ""
    path: str = environ["PATH_INFO"]
    return (
        length.isascii()
        and length.isdigit()
        and len(length) <= len(str(_MOST_BYTES))
        and int(length) <= _MOST_BYTES
        and environ.get("HTTP_AUTHORIZATION", "").startswith(_SCHEME)
        and environ.get("CONTENT_TYPE", "").partition(";")[0] == "application/json"
        and environ.get("HTTP_ACCEPT", "*/*") in ("*/*", "application/json")
        and path.startswith(_BEFORE)
        and path.isascii()
        and _welcome(environ)
    )


def _find_target(environ: WSGIEnvironment) -> tuple[str, _Place, Recipe] | None:
    """Return the token's sha256, the place and its recipe; None if the token or the workflow is unknown."""
    plaintext = environ["HTTP_AUTHORIZATION"].removeprefix(_SCHEME)
    token = tokens.digest(plaintext)
    workspace = _workspaces.get(token) or _find_workspace(plaintext, token)
    if workspace is None:
        return None
    place = (workspace, environ["PATH_INFO"][len(_BEFORE) : -len(_BEHIND)])
    recipe = _recipes.get(place) or _find_recipe(place)
    return None if recipe is None else (token, place, recipe)


def _welcome(environ: WSGIEnvironment) -> bool:
    """Whether the request came to one of ALLOWED_HOSTS, and by HTTPS if the site requires that."""
    if settings.SECURE_SSL_REDIRECT and not WSGIRequest(environ).is_secure():
        return False
    host = environ.get("HTTP_HOST")
    if host in _hosts:
        return True
    try:
        WSGIRequest(environ).get_host()
    except DisallowedHost:
        return False
    if len(_hosts) >= _MOST_HOSTS:
        _hosts.clear()
    if host is not None and len(host) <= _LONGEST_HOST:
        _hosts.add(host)
    return True


def _find_workspace(plaintext: str, token: str) -> UUID | None:
    found = tokens.find(plaintext)
    if found is None or not permissions.may(permissions.over_api(found.user, found), WAY, workspace=found.workspace_id):
        return None
    if len(_workspaces) >= _MOST_KEPT:
        _workspaces.clear()
    _workspaces[token] = found.workspace_id
    return found.workspace_id


def _find_recipe(place: tuple[UUID, str]) -> Recipe | None:
    """Return the recipe of the published workflow with this id or name; None unless there is exactly one."""
    workspace, key = place
    if "\x00" in key:
        return None
    found = named_workflows(key, workspace=workspace).filter(kind=Workflow.Kind.WORKFLOW).select_related("current")
    if len(found) != 1 or found[0].current is None or found[0].archived_at is not None:
        return None
    if len(_recipes) >= _MOST_KEPT:
        _recipes.clear()
    recipe = _recipes[place] = Recipe(found[0].current, found[0], "api")
    return recipe
