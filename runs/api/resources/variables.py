"""The variables of the workspace: list, read, set and delete them."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from runs.api.http.base import PROBLEMS, READ_ONE, WRITE, ScopedView
from runs.api.http.parsers import read_body
from runs.api.http.problems import Refused, bad
from runs.schemas import variables as shapes
from workflows.models import Variable
from workflows.workspaces import permissions, variables
from workflows.workspaces.permissions import Right
from workflows.workspaces.variables import NotAVariable

CHANGE_VARIABLES = permissions.way("api: variables_change", Right.PUBLISH)


class Variables(ScopedView):
    """All variables."""

    @extend_schema(operation_id="variables_list", responses={200: shapes.VariableList, **PROBLEMS})
    def get(self, request: Request) -> Response:
        """List the variables of the workspace by name; there are 200 at most."""
        rows = Variable.objects.filter(workspace=self.workspace).order_by("name")
        return Response(shapes.VariableList(results=[shapes.variable(row) for row in rows]).as_json())


class OneVariable(ScopedView):
    """One variable."""

    changes = CHANGE_VARIABLES

    @extend_schema(operation_id="variables_get", responses={200: shapes.VariableShape, **READ_ONE})
    def get(self, request: Request, name: str) -> Response:
        """Return a variable."""
        row = Variable.objects.filter(workspace=self.workspace, name=name).first() if "\x00" not in name else None
        if row is None:
            raise self._absent(name)
        return Response(shapes.variable(row).as_json())

    @extend_schema(
        operation_id="variables_set",
        request=shapes.PutVariable,
        responses={200: shapes.VariableShape, 201: shapes.VariableShape, **WRITE},
    )
    def put(self, request: Request, name: str) -> Response:
        """Set a variable: 201 if it is new, else 200. Steps that begin from now on read the new value."""
        asked = read_body(request.data, model=shapes.PutVariable)
        try:
            row, created = variables.put(self.workspace, name, asked.value, kind=asked.kind)
        except NotAVariable as error:
            raise bad(error.field, str(error)) from None
        return Response(shapes.variable(row).as_json(), status=201 if created else 200)

    @extend_schema(
        operation_id="variables_delete",
        responses={204: OpenApiResponse(description="It is deleted; steps that read it fail."), **READ_ONE},
    )
    def delete(self, request: Request, name: str) -> Response:
        """Delete a variable. Steps that read it fail from then on."""
        if "\x00" in name or not variables.delete(self.workspace, name):
            raise self._absent(name)
        return Response(status=204)

    def _absent(self, name: str) -> Refused:
        return Refused(f"workspace {self.workspace.name!r} has no variable {name[:70]!r}", status=404)
