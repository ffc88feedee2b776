"""The quick way to POST /api/v1/workflows/{id or name}/runs: in front of Django, a commit shared by many requests.

It answers starts that succeed, and those that failed so late that a run may be there. Whatever else it meets (no token,
a fault in the body, a workflow that is not there) it leaves to runs.api.resources.workflows.StartedRuns, which says
what is wrong and is what the schema shows.
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
from pydantic import ValidationError

from actions import payload
from actions.payload import PayloadError
from runs.api.http import problems
from runs.api.http.lookups import named_workflows
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
# Larger ones take the ordinary way, which knows its limits.
_MOST_BYTES = 1024 * 1024
_MOST_KEPT = 10_000
# Of hosts there are a few, and they are kept before anybody has shown a token.
_MOST_HOSTS = 64
_LONGEST_HOST = 255

# Tokens that were good (workspace by sha256) and recipes that were found (by workspace and key) when they were last
# asked for. Both are looked at again as the run is inserted, each time: nothing here is believed.
_workspaces: dict[str, UUID] = {}
_recipes: dict[tuple[UUID, str], Recipe] = {}
# Host headers that ALLOWED_HOSTS lets pass.
_hosts: set[str] = set()


class StartSingle:
    """A WSGI application around another one: answers what it can, and hands on the rest.

    Django's handler, signals and middleware cost a start more than all of its own work. `headers` are what they would
    give every answer.
    """

    def __init__(self, application: WSGIApplication, *, headers: Iterable[tuple[str, str]]) -> None:
        self._application = application
        self._headers = tuple(headers)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "POST" and environ["PATH_INFO"].endswith(_BEHIND):
            found = _answer(environ)
            if found is not None:
                status, kind, told = found
                own = ("Content-Type", kind), ("Content-Length", str(len(told)))
                start_response(status, [*own, *self._headers])
                return [told]
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
        # It may have been started all the same, so it must not be tried again on the other way.
        return _failed(error)
    if started.outdated and request.authorization is not None:
        _workspaces.pop(request.authorization.token, None)
        _recipes.pop(place, None)
        return None
    told = orjson.dumps({"id": started.run_id, "state": started.state})
    return "201 Created" if started.created else "200 OK", "application/json", told


def _failed(error: Exception) -> _Answer:
    known = problems.answer(error)
    found = known or problems.unexpected()
    if found.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        told = {"status_code": found.status_code, "error": repr(error)}
        log.error("start_failed", extra=told, exc_info=error if known is None else None)
    # What Django does behind each request: a connection that broke is not to meet the next one.
    close_old_connections()
    return f"{found.status_code} {found.reason_phrase}", found.headers["Content-Type"], found.content


def _read(environ: WSGIEnvironment) -> tuple[_Place, Recipe, Request] | None:
    """Where it goes and what it asks for; None where the ordinary way must look at it, from the body's beginning."""
    if not _is_plain(environ):
        return None
    try:
        target = _find_target(environ)
        if target is None:
            return None
        token, place, recipe = target
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        environ["wsgi.input"] = io.BytesIO(body)
        wanted = StartRun.model_validate(payload.loads(body))
        authorization = Authorization(token, recipe.workflow.name)
        request = Request(wanted.input, wanted.idempotency_key, wanted.labels, wanted.priority, authorization)
        starts.check([request], version=recipe.version)
        concurrency.check_key(recipe.version, request.input)
    except (PayloadError, ValidationError, InvalidInput, DatabaseError, InterfaceError):
        return None
    return place, recipe, request


def _is_plain(environ: WSGIEnvironment) -> bool:
    """Whether the request is what nearly all clients send: a token, a small JSON body of known length, a plain path."""
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
    """The token's sha256, and the workflow by its place and as a recipe; None if either is unknown."""
    plaintext = environ["HTTP_AUTHORIZATION"].removeprefix(_SCHEME)
    token = tokens.digest(plaintext)
    workspace = _workspaces.get(token) or _find_workspace(plaintext, token)
    if workspace is None:
        return None
    place = (workspace, environ["PATH_INFO"][len(_BEFORE) : -len(_BEHIND)])
    recipe = _recipes.get(place) or _find_recipe(place)
    return None if recipe is None else (token, place, recipe)


def _welcome(environ: WSGIEnvironment) -> bool:
    """Whether it came to one of ALLOWED_HOSTS and, where the site is reached by https only, by https."""
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
    """The only published workflow with this id or name, if there is exactly one."""
    workspace, key = place
    if "\x00" in key:
        return None
    found = named_workflows(key, workspace=workspace).filter(kind=Workflow.Kind.WORKFLOW).select_related("current")
    if len(found) != 1 or found[0].current is None:
        return None
    if len(_recipes) >= _MOST_KEPT:
        _recipes.clear()
    recipe = _recipes[place] = Recipe(found[0].current, found[0], "api")
    return recipe
