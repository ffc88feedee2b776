"""The items of a for_each, page by page."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from runs.api.http import filters
from runs.api.http.base import READ_MANY, READ_ONE, ScopedView, answer_page, listed, parameters
from runs.api.http.filters import parse_id
from runs.api.http.pagination import page
from runs.api.http.problems import missing
from runs.domain.states import StepState
from runs.history import masking
from runs.models import Run, StepRun
from runs.schemas.runs import ItemShape


class Items(ScopedView):
    """The items of one step of one run."""

    @extend_schema(
        operation_id="run_step_items_list",
        parameters=parameters(state="One or more states, separated by commas; `status` means the same."),
        responses={200: listed(ItemShape), **READ_MANY, **READ_ONE},
    )
    def get(self, request: Request, key: str, step: str) -> Response:
        """List them, those begun last first. `state=failed` tells which ones failed, and why."""
        given = filters.read(request, known=(), states=StepState)
        run = Run.objects.filter(workspace=self.workspace, pk=parse_id(key, what="run")).only("id").first()
        if run is None:
            raise missing("run", key)
        found = StepRun.objects.filter(run=run, step=step, item__gte=0)
        if given.states:
            found = found.filter(state__in=given.states)
        shown = page(request, of=found)
        secrets = self.sees_secrets
        return answer_page(shown, [_item(row, secrets=secrets) for row in shown.objects])


def _item(row: StepRun, *, secrets: bool) -> ItemShape:
    fields = {name: getattr(row, name) for name in ItemShape.model_fields}
    return ItemShape(**{**fields, "config": masking.config(row.config, secrets=secrets)})
