"""Find what an address or a filter names, within the workspace; raise Refused (404) where there is none."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Q, QuerySet

from runs.api.http.filters import parse_id
from runs.api.http.problems import missing
from runs.domain.requests import SHORT_FORM
from runs.models import DeadLetter, Run
from workflows.models import Workflow, Workspace
from workflows.publishing.names import by_alias


def find_workflow(key: str, *, workspace: Workspace) -> Workflow:
    """The workspace's workflow with this id or name, its current version loaded. Raises Refused (404)."""
    found = workflow_or_none(key, workspace=workspace)
    if found is None:
        raise missing("workflow", key)
    return found


def workflow_or_none(key: str, *, workspace: Workspace) -> Workflow | None:
    """The workspace's workflow with this id or name, its current version loaded. Raises Refused (404) for a NUL."""
    found = named_workflows(key, workspace=workspace).filter(kind=Workflow.Kind.WORKFLOW)
    # An id wins over a name that looks like one.
    chosen = sorted(found.select_related("current"), key=lambda one: str(one.pk) != key.lower())
    return chosen[0] if chosen else by_alias(key, workspace=workspace)


def find_start(key: str, *, workspace: Workspace) -> Run | None:
    """The run that the short form of a workflow started, by the id that was answered; None where there is none."""
    try:
        run_id = UUID(key)
    except ValueError:
        return None
    found = Run.objects.filter(workspace=workspace, pk=run_id, source=SHORT_FORM)
    return found.select_related("workflow", "version", "gate").defer("version__definition").first()


def named_workflows(key: str, *, workspace: Workspace | UUID) -> QuerySet[Workflow]:
    """The workspace's workflows that have this id or this name: one at most, unless a name looks like an id.

    An archived one is found by its id only: its name may be another's.
    """
    if "\x00" in key:
        raise missing("workflow", key.replace("\x00", "?"))
    try:
        same = Q(id=UUID(key))
    except ValueError:
        return Workflow.objects.filter(workspace=workspace, name=key, archived_at=None)
    return Workflow.objects.filter(Q(workspace=workspace) & (same | Q(name=key, archived_at=None)))


def workflow_ids(key: str, *, workspace: Workspace) -> list[UUID]:
    """Their ids, read beforehand: only where the planner sees which workflow it is does it know how rare it is."""
    found = list(named_workflows(key, workspace=workspace).values_list("pk", flat=True))
    if not found and (renamed := by_alias(key, workspace=workspace)) is not None:
        return [renamed.pk]
    return found


def find_run(key: str, *, workspace: Workspace) -> UUID:
    """The id of the workspace's run in this address. Raises Refused (404)."""
    run_id = parse_id(key, what="run")
    if not Run.objects.filter(pk=run_id, workspace=workspace).exists():
        raise missing("run", key)
    return run_id


def find_dead_letter(key: str, *, workspace: Workspace) -> DeadLetter:
    """The workspace's dead letter in this address, its id and run loaded. Raises Refused (404)."""
    found = DeadLetter.objects.filter(workspace=workspace, pk=parse_id(key, what="dead letter"))
    dead_letter = found.only("id", "run_id").first()
    if dead_letter is None:
        raise missing("dead letter", key)
    return dead_letter
