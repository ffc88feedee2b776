"""The quick way to POST /api/v1/workflows/{id or name}/runs: outside of DRF, a commit shared by many requests.

It answers starts that succeed, and only those. Whatever else it meets (no token, a fault in the body, a workflow that
is not there) it leaves to runs.api.workflows.StartedRuns, which says what is wrong and is what the schema shows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import orjson
from django.db import InterfaceError, OperationalError, connection
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from pydantic import ValidationError

from actions import payload
from actions.payload import PayloadError
from runs import dispatch, gates, starting
from runs.api import problems
from runs.api.bodies import StartRun
from runs.api.filters import find_workflow
from runs.database import Statement, run
from runs.gathering import Gathering
from runs.requests import Request, Started
from runs.starting import Recipe
from workflows import tokens
from workflows.errors import InvalidInput
from workflows.models import Workflow

_BEFORE, _BEHIND = "/api/v1/workflows/", "/runs"
_SCHEME = "Bearer "
# Larger ones take the ordinary way, which knows its limits.
_MOST_BYTES = 1024 * 1024
_MOST_TOGETHER = 200
_MOST_KEPT = 10_000

# Tokens that were good (workspace by sha256) and recipes that were found (by workspace and key) when they were last
# asked for. Both are looked at again in the statement below, each time: nothing here is believed.
_workspaces: dict[str, UUID] = {}
_recipes: dict[tuple[UUID, str], Recipe] = {}

# Index scans by primary and unique keys; one row, none where the workflow is gone. Locks nothing.
STILL_GOOD = Statement(
    "still_good",
    """
    SELECT w.name, w.current_id, ARRAY(
        SELECT t.sha256 FROM workflows_apitoken t JOIN auth_user u ON u.id = t.user_id
        WHERE t.sha256 = ANY(%(tokens)s::text[]) AND t.workspace_id = w.workspace_id AND u.is_active
          AND (t.expires_at IS NULL OR t.expires_at > clock_timestamp())
    )
    FROM workflows_workflow w WHERE w.id = %(workflow)s
    """,
)


class StartSingle:
    """Middleware: answers what it can, and hands on the rest."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.method == "POST" and request.path_info.endswith(_BEHIND):
            answer = _answer(request)
            if answer is not None:
                return answer
        return self.get_response(request)


class _Outdated(Exception):
    """The token, or what the workflow's name and current version were, holds no longer."""


@dataclass(frozen=True)
class _Asked:
    token: str
    # The workflow's, as it was when this asker's path was looked up.
    name: str
    request: Request


def _answer(request: HttpRequest) -> HttpResponse | None:
    asked_for = _read(request)
    if asked_for is None:
        return None
    place, recipe, asked = asked_for
    try:
        started = _starts.ask(recipe, asked)
    except _Outdated:
        _workspaces.pop(asked.token, None)
        _recipes.pop(place, None)
        return None
    except InvalidInput as error:
        return problems.answer(error)
    except (OperationalError, InterfaceError) as error:
        # It may have been started all the same, so it must not be tried again on the other way.
        return problems.answer(error)
    told = orjson.dumps({"id": started.run_id, "state": started.state})
    answer = HttpResponse(told, status=201 if started.created else 200, content_type="application/json")
    answer.headers["Content-Length"] = str(len(told))
    return answer


def _read(request: HttpRequest) -> tuple[tuple[UUID, str], Recipe, _Asked] | None:
    """Where it goes and what it asks for; None where the ordinary way must look at it."""
    meta = request.META
    length, authorization = meta.get("CONTENT_LENGTH") or "", meta.get("HTTP_AUTHORIZATION", "")
    plain = (
        length.isdigit()
        and int(length) <= _MOST_BYTES
        and authorization.startswith(_SCHEME)
        and meta.get("CONTENT_TYPE", "").partition(";")[0] == "application/json"
        and meta.get("HTTP_ACCEPT", "*/*") in ("*/*", "application/json")
        and request.path_info.startswith(_BEFORE)
        # Inside of a transaction another thread could not see what it has not committed.
        and not connection.in_atomic_block
    )
    if not plain:
        return None
    request.get_host()  # raises DisallowedHost, a 400
    plaintext = authorization.removeprefix(_SCHEME)
    token = tokens.digest(plaintext)
    try:
        workspace = _workspaces.get(token) or _find_workspace(plaintext, token)
        if workspace is None:
            return None
        place = (workspace, request.path_info[len(_BEFORE) : -len(_BEHIND)])
        recipe = _recipes.get(place) or _find_recipe(place)
        if recipe is None:
            return None
        wanted = StartRun.model_validate(payload.loads(request.body))
        asked = Request(wanted.input, wanted.idempotency_key, wanted.labels, wanted.priority)
        starting.check([asked], version=recipe.version)
        gates.check_key(recipe.version, asked.input)
    except (PayloadError, ValidationError, InvalidInput, OperationalError, InterfaceError):
        return None
    return place, recipe, _Asked(token, recipe.workflow.name, asked)


def _find_workspace(plaintext: str, token: str) -> UUID | None:
    found = tokens.find(plaintext)
    if found is None:
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
    found = find_workflow(key, workspace=workspace).filter(kind=Workflow.Kind.WORKFLOW).select_related("current")
    if len(found) != 1 or found[0].current is None:
        return None
    if len(_recipes) >= _MOST_KEPT:
        _recipes.clear()
    recipe = _recipes[place] = Recipe(found[0].current, found[0], "api")
    return recipe


def _start(recipe: Recipe, asked: Sequence[_Asked]) -> list[Started | Exception]:
    """Look once more at what all of them rest on, then start those that may."""
    good = _still_good(recipe, asked)
    requests = [one.request for one, holds in zip(asked, good, strict=True) if holds]
    started = iter(starting.insert_each(recipe, requests) if requests else ())
    return [next(started) if holds else _Outdated() for holds in good]


def _still_good(recipe: Recipe, asked: Sequence[_Asked]) -> list[bool]:
    """Of each whether its token and the workflow's name hold, and the version is still the current one.

    Of one line not all came by the same path: the one who leads it may know a new name, and another the old one.
    """
    wanted = {"tokens": list({one.token for one in asked}), "workflow": recipe.workflow.pk}
    try:
        found = run(STILL_GOOD, **wanted)
    except (OperationalError, InterfaceError):
        # A connection that broke while it lay idle; nothing was done yet, so it can be asked for again.
        if connection.is_usable():
            raise
        connection.close()
        found = run(STILL_GOOD, **wanted)
    if not found or found[0][1] != recipe.version.pk:
        return [False] * len(asked)
    name, _, hold = found[0]
    return [one.name == name and one.token in hold for one in asked]


_starts: Gathering[Recipe, _Asked, Started] = Gathering(_start, after=dispatch.after_start, most=_MOST_TOGETHER)
