"""Credentials: make, list, look at, replace and delete them. Their values come in, and never go out."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from actions.base import Json
from runs.api.http import filters
from runs.api.http.base import PROBLEM, READ_MANY, READ_ONE, WRITE, ScopedView, answer_page, listed, parameters
from runs.api.http.pagination import page
from runs.api.http.parsers import read_body
from runs.api.http.problems import Refused, bad, missing
from runs.schemas import credentials as shapes
from workflows.credentials import store
from workflows.credentials.encryption import KeyMissing
from workflows.credentials.store import InUse, Wanted
from workflows.models import Credential
from workflows.workspaces import permissions
from workflows.workspaces.permissions import Right

CHANGE = permissions.way("api: credentials_create", Right.CHANGE_CREDENTIALS)
_FORCE = OpenApiParameter("force", str, description="`true`: delete it although workflows refer to it.")


class Credentials(ScopedView):
    """The credentials of the workspace."""

    changes = CHANGE

    @extend_schema(
        operation_id="credentials_list",
        parameters=parameters(name="Only the credential of this name.", kind="Only credentials of this kind."),
        responses={200: listed(shapes.CredentialShape), **READ_MANY},
    )
    def get(self, request: Request) -> Response:
        """List them, newest first, without their values."""
        asked = filters.read(request, known=["name", "kind"])
        given = {name: value for name in ("name", "kind") if (value := asked.get(name)) is not None}
        if any("\0" in value for value in given.values()):
            raise bad("name", "has a NUL character in it")
        rows = Credential.objects.filter(workspace=self.workspace, **given)
        shown = page(request, of=rows.defer("sealed", "token"))
        return answer_page(shown, [shapes.credential(row) for row in shown.objects])

    @extend_schema(
        operation_id="credentials_create",
        request=shapes.NewCredential,
        responses={201: shapes.CredentialDetail, **WRITE},
    )
    def post(self, request: Request) -> Response:
        """Make one. Its values are encrypted, and are not in the answer."""
        asked = read_body(_without_values(request.data), model=shapes.NewCredential)
        wanted = Wanted(asked.name, asked.kind, _values(request.data), asked.hosts, asked.requests)
        try:
            row = store.create(wanted, workspace=self.workspace, by=self.user)
        except KeyMissing as error:
            raise Refused(str(error), status=503) from None
        return Response(shapes.credential_detail(row, used_by=[]).as_json(), status=201)


class OneCredential(ScopedView):
    """One credential, by its name."""

    changes = CHANGE

    @extend_schema(operation_id="credentials_retrieve", responses={200: shapes.CredentialDetail, **READ_ONE})
    def get(self, request: Request, key: str) -> Response:
        """Show it without its values, and who refers to it."""
        row = self._find(key)
        return Response(shapes.credential_detail(row, used_by=store.referring(row)).as_json())

    @extend_schema(
        operation_id="credentials_replace",
        request=shapes.NewValues,
        responses={200: shapes.CredentialDetail, **WRITE, 404: PROBLEM},
    )
    def put(self, request: Request, key: str) -> Response:
        """Replace its values. Steps that begin from now on use the new ones, within two seconds."""
        asked = read_body(_without_values(request.data), model=shapes.NewValues)
        row = self._find(key)
        hosts = row.hosts if asked.hosts is None else asked.hosts
        requests = row.requests if asked.requests is None else asked.requests
        try:
            row = store.replace(row, Wanted(row.name, row.kind, _values(request.data), hosts, requests))
        except KeyMissing as error:
            raise Refused(str(error), status=503) from None
        return Response(shapes.credential_detail(row, used_by=store.referring(row)).as_json())

    @extend_schema(
        operation_id="credentials_delete",
        parameters=[_FORCE],
        responses={200: shapes.CredentialDeleted, **WRITE, 404: PROBLEM, 409: PROBLEM},
    )
    def delete(self, request: Request, key: str) -> Response:
        """Delete it; 409, with their names, while workflows refer to it, unless `force` is `true`."""
        force = filters.read(request, known=["force"]).get("force") or "false"
        if force not in ("true", "false"):
            raise bad("force", "must be true or false")
        row = self._find(key)
        try:
            used_by = store.delete(row, force=force == "true")
        except InUse as refusal:
            raise Refused(str(refusal), status=409) from None
        return Response(shapes.CredentialDeleted(name=row.name, used_by=used_by).as_json())

    def _find(self, key: str) -> Credential:
        row = store.find(key, workspace=self.workspace)
        if row is None:
            raise missing("credential", key.replace("\0", "?"))
        return row


def _without_values(data: Any) -> Any:
    """Return the body with its values hidden: a complaint about a neighbour of them may show a part of the body."""
    return {**data, "values": {}} if isinstance(data, dict) and "values" in data else data


def _values(data: Json) -> dict[str, Json]:
    """Return the values of a body that was read. Raises Refused (400) for what is no object, and does not show it."""
    found = data.get("values") if isinstance(data, dict) else None
    if not isinstance(found, dict):
        raise bad("values", "must be an object of the values of this kind")
    return found
