"""Actions: list what steps can do, and look at one. They are the installation's, and so the same in every workspace."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from actions import registry
from runs.api.http import filters
from runs.api.http.base import READ_MANY, READ_ONE, ScopedView
from runs.api.http.problems import Refused
from runs.schemas import actions


class Actions(ScopedView):
    """The actions that steps can have."""

    @extend_schema(operation_id="actions_list", responses={200: actions.ActionList, **READ_MANY})
    def get(self, request: Request) -> Response:
        """List them with the JSON Schemas of their configs and outputs, and with examples; those of packages, too."""
        filters.read(request, known=())
        found = actions.ActionList(results=[actions.shape(action) for action in registry.usable()])
        return Response(found.as_json())


class OneAction(ScopedView):
    """One action."""

    @extend_schema(operation_id="actions_retrieve", responses={200: actions.ActionShape, **READ_ONE})
    def get(self, request: Request, key: str) -> Response:
        """Show it, by its name or an alias."""
        try:
            action = registry.get(key)
        except registry.UnknownAction as error:
            raise Refused(str(error), status=404) from None
        return Response(actions.shape(action).as_json())
