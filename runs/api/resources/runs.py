"""Runs: list them and look at one."""

from __future__ import annotations

from functools import reduce
from operator import or_

from django.db.models import Q, QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from runs.api.http import filters, lookups, ranges
from runs.api.http.base import READ_MANY, READ_ONE, ScopedView, answer_page, listed, parameters
from runs.api.http.filters import Filters, parse_id
from runs.api.http.outputs import PARAMETERS, outputs_of
from runs.api.http.pagination import Newest, page
from runs.api.http.problems import bad, missing
from runs.domain.states import RUN_ENDED, RunState
from runs.history import lists, masking, timeline, told
from runs.models import Run, StepRun
from runs.schemas import runs
from workflows.models import Workspace

FILTERS = ("workflow", "paused", "label.<key>", *ranges.OF_RUNS)


class Runs(ScopedView):
    """The runs of the workspace, jobs included."""

    @extend_schema(
        operation_id="runs_list",
        parameters=parameters(
            workflow="Id or name of a workflow.",
            paused="`true` for runs that are paused now, `false` for all others.",
            state="One or more states, separated by commas; `status` means the same.",
            **ranges.described(*ranges.OF_RUNS),
        ),
        responses={200: listed(runs.RunSummary), **READ_MANY},
    )
    def get(self, request: Request) -> Response:
        """List them, newest first, without input, output and steps.

        `label.<key>=<value>` filters by label: several labels must all be there, of several values of one label any.
        """
        given = filters.read(request, known=FILTERS, states=RunState)
        found = matching(given, workspace=self.workspace)
        slim = found.select_related("workflow", "version", "gate").defer("input", "output", "version__definition")
        shown = page(request, of=slim, newest=_newest(given, workspace=self.workspace))
        return answer_page(shown, [runs.run_summary(one) for one in shown.objects])


class OneRun(ScopedView):
    """One run."""

    @extend_schema(
        operation_id="runs_retrieve",
        parameters=PARAMETERS,
        responses={200: runs.RunDetail, **READ_ONE, **READ_MANY},
    )
    def get(self, request: Request, key: str) -> Response:
        """Show it with every step of its plan in topological order."""
        found = Run.objects.filter(workspace=self.workspace, pk=parse_id(key, what="run"))
        one = found.select_related("workflow", "version").defer("version__definition").first()
        if one is None:
            raise missing("run", key)
        detail = runs.run_detail(
            one,
            steps=timeline.timeline(one),
            interventions=timeline.interventions(one),
            secrets=self.sees_secrets,
            site=self.site,
            outputs=outputs_of(one.pk, request=request),
        )
        return Response(detail.as_json())


class RunOutput(ScopedView):
    """The output of one run."""

    @extend_schema(operation_id="runs_output", responses={200: runs.OutputShape, **READ_ONE})
    def get(self, request: Request, key: str) -> Response:
        """Show it, however large it is; null while the run has none."""
        found = Run.objects.filter(workspace=self.workspace, pk=parse_id(key, what="run")).only("output").first()
        if found is None:
            raise missing("run", key)
        return Response(runs.OutputShape(output=found.output).as_json())


class OneStep(ScopedView):
    """One step of one run."""

    @extend_schema(operation_id="run_steps_retrieve", responses={200: runs.StepShape, **READ_ONE})
    def get(self, request: Request, key: str, step: str) -> Response:
        """Show it with its input, its config and its output, however large they are."""
        run = Run.objects.filter(workspace=self.workspace, pk=parse_id(key, what="run")).first()
        if run is None:
            raise missing("run", key)
        views = [view for view in timeline.timeline(run) if view.step == step]
        if not views:
            raise missing("step", step)
        [shown] = masking.steps(views, secrets=self.sees_secrets)
        return Response(runs.step(shown, site=self.site).as_json())


class StepOutput(ScopedView):
    """The output of one step of one run."""

    @extend_schema(operation_id="run_step_output", responses={200: runs.OutputShape, **READ_ONE})
    def get(self, request: Request, key: str, step: str) -> Response:
        """Show it, however large it is; 404 for a step that has not begun, or that the run does not have."""
        run_id = lookups.find_run(key, workspace=self.workspace)
        found = StepRun.objects.filter(run=run_id, step=step, item=-1).only("output").first()
        if found is None:
            raise missing("step", step)
        return Response(runs.OutputShape(output=found.output).as_json())


class StepLogs(ScopedView):
    """The log of one step of one run."""

    @extend_schema(
        operation_id="run_step_logs",
        parameters=[OpenApiParameter("item", int, description="The index of an item of a for_each step.")],
        responses={200: runs.LogShape, **READ_ONE, **READ_MANY},
    )
    def get(self, request: Request, key: str, step: str) -> Response:
        """Show what it logged, oldest first; no lines for a step that never did. 404 for one that has not begun."""
        run_id = lookups.find_run(key, workspace=self.workspace)
        item = _item(filters.read(request, known=("item",)).get("item"))
        if not StepRun.objects.filter(run=run_id, step=step, item=item).exists():
            raise missing("step", step)
        found = told.log_of(run_id, step=step, item=item)
        lines = [runs.LogLine.model_validate(line) for line in found.lines]
        return Response(runs.LogShape(lines=lines, dropped=found.dropped).as_json())


def _item(given: str | None) -> int:
    if given is None:
        return -1
    if not (given.isascii() and given.isdecimal() and len(given) < 10):
        raise bad("item", f"must be the index of an item, from 0, not {given[:40]!r}")
    return int(given)


def matching(given: Filters, *, workspace: Workspace) -> QuerySet[Run]:
    """The runs of the workspace that pass these filters."""
    found = Run.objects.filter(workspace=workspace)
    if (key := given.get("workflow")) is not None:
        found = found.filter(workflow__in=lookups.workflow_ids(key, workspace=workspace))
    if (paused := given.get("paused")) is not None:
        if paused not in ("true", "false"):
            raise bad("paused", f"must be true or false, not {paused[:40]!r}")
        found = found.filter(paused_at__isnull=paused == "false")
        # A run that ended while it was paused keeps the time of it.
        found = found.exclude(state__in=RUN_ENDED) if paused == "true" else found
    if given.states:
        # One by one, not as a set: only so do the partial indexes of queued, live and failed runs answer together.
        found = found.filter(reduce(or_, (Q(state=state) for state in given.states)))
    if given.labels:
        # The first condition is the one of the index, which leaves out the many runs without labels.
        found = found.exclude(labels={}).filter(ranges.with_labels(given.labels))
    return ranges.within(ranges.span_of(given), of=ranges.with_key(given, of=found, workspace=workspace))


def _newest(given: Filters, *, workspace: Workspace) -> Newest | None:
    """How to find the page's ids where the lists' own statements do: by no filter but state, or not being paused."""
    paused = given.get("paused")
    others = ("workflow", "idempotency_key")
    if any(given.get(name) is not None for name in others) or given.labels or paused == "true":
        return None
    states = frozenset(map(RunState, given.states or ()))
    span = ranges.span_of(given)
    return lists.newest_runs(states, workspace=workspace, unpaused=paused == "false", span=span)
