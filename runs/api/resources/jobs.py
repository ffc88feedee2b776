"""Jobs: one action as a run of its own. Start one, list them, look at one."""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from runs.api.http import filters, idempotency, ranges
from runs.api.http.base import PROBLEM, READ_MANY, READ_ONE, WRITE, ScopedView, answer_page, listed, parameters
from runs.api.http.pagination import MAX_OFFSET, page
from runs.api.http.parsers import read_body
from runs.api.http.problems import Refused, missing
from runs.control import keys, starts
from runs.domain.requests import Request as RunRequest
from runs.domain.states import RunState
from runs.domain.statuses import JobStatus
from runs.history import jobs as jobs_history
from runs.history import timeline
from runs.history.jobs import NOTHING_YET, JobFacts
from runs.models import Run
from runs.planning import plan
from runs.schemas import jobs
from runs.schemas.requests import StartJob
from workflows.models import Version, Workflow, Workspace
from workflows.publishing.jobs import check_payload
from workflows.publishing.publish import job_version
from workflows.workspaces import permissions
from workflows.workspaces.permissions import Right

_MAX_KNOWN = 1000
# Versions never change, and a million jobs share a handful of them.
_known: dict[tuple[UUID, str, int | None], Version] = {}


class Jobs(ScopedView):
    """The jobs of the workspace."""

    changes = permissions.way("api: jobs_start", Right.START)

    @extend_schema(
        operation_id="jobs_list",
        parameters=parameters(
            type="Only jobs of this action.",
            state="One or more states, separated by commas.",
            status=f"One or more statuses, separated by commas: {', '.join(JobStatus)}. States are taken too.",
            **ranges.described(*ranges.OF_RUNS),
            offset=f"How many jobs to leave out, at most {MAX_OFFSET:,}; the address in `next` costs less.",
        ),
        responses={200: listed(jobs.JobSummary, offsets=True), **READ_MANY},
    )
    def get(self, request: Request) -> Response:
        """List them, newest first, without payload and output."""
        given = filters.read(request, known=["type", "offset", *ranges.OF_RUNS], states=RunState, statuses=JobStatus)
        found = _jobs(self.workspace)
        if (action := given.get("type")) is not None:
            found = found.filter(version__in=_versions_of(action, workspace=self.workspace))
        if given.states:
            found = found.filter(state__in=given.states)
        found = jobs_history.having(found, given.statuses)
        found = ranges.within(ranges.span_of(given), of=ranges.with_key(given, of=found, workspace=self.workspace))
        shown = page(request, of=found.defer("input", "output"), offsets=True)
        facts = jobs_history.facts(shown.objects)
        return answer_page(shown, [jobs.job_summary(run, facts=facts[run.pk]) for run in shown.objects])

    @extend_schema(
        operation_id="jobs_start",
        request=StartJob,
        responses={200: jobs.JobDetail, 201: jobs.JobDetail, **WRITE, 409: PROBLEM},
        parameters=[idempotency.DESCRIBED],
    )
    def post(self, request: Request) -> Response:
        """Start one. 200 and the first job when the idempotency key is known; 409 when it is with another input."""
        wanted = read_body(request.data, model=StartJob)
        version = _version(self.workspace, wanted=wanted, owner=self.user)
        check_payload(wanted.type, wanted.payload)
        key = idempotency.key_of(request.META, body=wanted.idempotency_key)
        asked = RunRequest(wanted.payload, key, priority=wanted.priority, compares=wanted.compares)
        with transaction.atomic():
            answers = starts.start([asked], version=version, workflow=version.workflow, source="job")
            started = keys.only(answers, key=key)
            job = _jobs(self.workspace).get(pk=started.run_id)
            if wanted.compares and not started.created:
                _require_same_type(job, version=version, key=key)
            # A job that this transaction has made cannot have begun.
            answer = _detail(job, facts=NOTHING_YET if started.created else None, secrets=self.sees_secrets)
        return Response(answer.as_json(), status=201 if started.created else 200)


class OneJob(ScopedView):
    """One job."""

    @extend_schema(operation_id="jobs_retrieve", responses={200: jobs.JobDetail, **READ_ONE})
    def get(self, request: Request, key: str) -> Response:
        """Show it with its payload, its output and the attempts that did not succeed."""
        run = _jobs(self.workspace).filter(pk=filters.parse_id(key, what="job")).first()
        if run is None:
            raise missing("job", key)
        return Response(_detail(run, secrets=self.sees_secrets).as_json())


def _jobs(workspace: Workspace) -> QuerySet[Run]:
    holders = Workflow.objects.filter(workspace=workspace, kind=Workflow.Kind.JOBS)
    return Run.objects.filter(workspace=workspace, workflow__in=holders)


def _detail(run: Run, *, facts: JobFacts | None = None, secrets: bool) -> jobs.JobDetail:
    found = facts or jobs_history.facts([run])[run.pk]
    return jobs.job_detail(run, view=timeline.timeline(run)[0], facts=found, secrets=secrets)


def _version(workspace: Workspace, *, wanted: StartJob, owner: User) -> Version:
    key = (workspace.pk, wanted.type, wanted.max_retries)
    found = _known.get(key)
    if found is None:
        with transaction.atomic():
            version = job_version(workspace, owner=owner, action=wanted.type, max_retries=wanted.max_retries)
            found = Version.objects.select_related("workflow").get(pk=version.pk)
            # Only after the commit: one that was rolled back must not be known.
            transaction.on_commit(lambda: _remember(key, version=found))
    return found


def _remember(key: tuple[UUID, str, int | None], *, version: Version) -> None:
    if len(_known) >= _MAX_KNOWN:
        _known.clear()
    _known[key] = version


def _require_same_type(job: Run, *, version: Version, key: str | None) -> None:
    """Raises Refused (409) if the job that has the key performs another action than this version."""
    first, given = (plan.load(each).definition.steps[0].action for each in (job.version_id, version.pk))
    if first != given:
        detail = f"the idempotency key {key!r} is known: job {job.pk} is a {first}, this request a {given}"
        raise Refused(f"{detail}; use another key, or send on_conflict: return to get that job", status=409)


def _versions_of(action: str, *, workspace: Workspace) -> QuerySet[Version]:
    holders = Workflow.objects.filter(workspace=workspace, kind=Workflow.Kind.JOBS)
    return Version.objects.filter(workflow__in=holders, definition__steps__0__action=action)
