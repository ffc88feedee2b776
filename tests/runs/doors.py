"""Talk to the API and the admin as a client does, and leave runs as the engine leaves them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import User
from django.test import Client, RequestFactory

from project.wsgi import application
from runs.models import Run
from tests import flows
from workflows.workspaces import tokens

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

Answer = tuple[int, Any]


@dataclass(frozen=True)
class Api:
    """A client of /api/v1 with the token of one workspace."""

    token: str

    def get(self, path: str, **query: Any) -> Answer:
        """Status and body of a GET."""
        answer = Client().get(f"/api/v1/{path}", query, headers=self._headers())
        return answer.status_code, answer.json()

    def post(self, path: str, body: Any, *, content_type: str = "application/json") -> Answer:
        """Status and body of a POST; a text or bytes are sent as they are."""
        answer = posted(f"/api/v1/{path}", body, content_type=content_type, headers=self._headers())
        return answer.status, json.loads(answer.content)

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        """Status and body of another method: PATCH or DELETE; None for no body."""
        sent = "" if body is None else body
        answer = posted(f"/api/v1/{path}", sent, headers=self._headers(), method=method)
        return answer.status, json.loads(answer.content) if answer.content else None

    def put(self, path: str, body: Any) -> Answer:
        """Status and body of a PUT."""
        address = f"/api/v1/{path}"
        answer = Client().put(address, body, content_type="application/json", headers=self._headers())
        return answer.status_code, answer.json()

    def delete(self, path: str) -> Answer:
        """Status and body of a DELETE; a 204 has none."""
        answer = Client().delete(f"/api/v1/{path}", headers=self._headers())
        return answer.status_code, answer.json() if answer.content else None

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@dataclass(frozen=True)
class Posted:
    """What the web server would send back. Headers have small letters."""

    status: int
    headers: dict[str, str]
    content: bytes


def posted(
    path: str,
    body: Any,
    *,
    content_type: str = "application/json",
    headers: Mapping[str, str],
    to: WSGIApplication = application,
    method: str = "POST",
) -> Posted:
    """A POST to what the web server serves: Django and what stands in front of it, which its test client passes by."""
    data = body if isinstance(body, (str, bytes)) else json.dumps(body)
    told: list[Any] = []
    environ = RequestFactory().generic(method, path, data, content_type=content_type, headers=headers).environ
    pieces = to(environ, lambda *status_and_headers: told.extend(status_and_headers))  # type: ignore[arg-type]  # nobody calls write
    try:
        content = b"".join(pieces)
    finally:
        if hasattr(pieces, "close"):
            pieces.close()
    return Posted(int(told[0].split()[0]), {name.lower(): value for name, value in told[1]}, content)


def api(workspace: str = "default") -> Api:
    """A client in this workspace, which is made where it is not there yet."""
    return Api(tokens.issue(flows.workspace(workspace), flows.owner(), "test")[1])


def admin() -> Client:
    """A browser in which a superuser is logged in."""
    client = Client()
    user, _ = User.objects.get_or_create(username="root", is_staff=True, is_superuser=True)
    client.force_login(user)
    return client


def first_error(body: Any) -> tuple[str, str]:
    """Path and message of a problem's first error."""
    error = body["errors"][0]
    return error["path"], error["message"]


def newest_run() -> Run:
    """The run that was made last."""
    return Run.objects.order_by("-id")[0]
