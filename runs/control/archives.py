"""Archive, restore and delete workflows.

An archived workflow takes no new runs, is left out of lists, and its name is free for another; runs that have begun go
on, and everything is kept. Only a workflow that has no runs any more can be deleted.
"""

from __future__ import annotations

from django.db import IntegrityError, transaction

from runs.domain.actor import Actor
from runs.models import Run
from runs.queries import archives
from runs.queries import interventions as intervention_queries
from runs.queries.database import run
from workflows.models import Workflow, Workspace
from workflows.publishing.names import taken
from workflows.publishing.references import referred_to


class CannotArchive(Exception):
    """The workflow cannot be archived, restored or deleted now; the message says why, and what to do."""


def archive(workflow: Workflow, *, actor: Actor) -> str:
    """Archive the workflow, and return what to say of it; a second call changes nothing. Raises CannotArchive."""
    with transaction.atomic():
        if not _lock(workflow):
            _refuse_alert(workflow, "archived")
            run(archives.SET_ARCHIVED, workflow=workflow.pk, archived=True)
            _tell(workflow, "archive", actor=actor)
    return f"{workflow.name} is archived; its name is free.{referred_to(workflow)}"


def restore(workflow: Workflow, *, actor: Actor) -> str:
    """Take the workflow out of the archive, and return what to say of it. Raises CannotArchive if its name is taken."""
    try:
        with transaction.atomic():
            if _lock(workflow):
                run(archives.SET_ARCHIVED, workflow=workflow.pk, archived=False)
                taken(workflow.name, workspace=workflow.workspace_id)
                _tell(workflow, "restore", actor=actor)
    except IntegrityError:
        raise CannotArchive(
            f"another workflow of the workspace is named {workflow.name!r} now: rename or archive that one first"
        ) from None
    return f"{workflow.name} is restored."


def delete(workflow: Workflow, *, actor: Actor) -> str:
    """Delete the workflow with its versions and its draft, and return what to say of it. Raises CannotArchive.

    `actor` is not kept: the history of a workflow goes with it.
    """
    try:
        with transaction.atomic():
            _lock(workflow)
            said = f"{workflow.name} is deleted, with its versions.{referred_to(workflow)}"
            _refuse_alert(workflow, "deleted")
            if Run.objects.filter(workflow=workflow).exists():
                raise CannotArchive(
                    f"{workflow.name!r} has runs: delete them first (`manage.py prune_runs`, or keep_days), or archive "
                    "the workflow, which hides it and keeps them"
                )
            run(archives.FORGET_CURRENT, workflow=workflow.pk)
            workflow.versions.all().delete()
            Workflow.objects.filter(pk=workflow.pk).delete()
    except IntegrityError:
        raise CannotArchive(f"{workflow.name!r} got a run meanwhile, so it is kept") from None
    return said


def cannot_start(workflow: Workflow) -> str | None:
    """Return why no run of the workflow can be started, or None if one can."""
    if workflow.archived_at is not None:
        return f"workflow {workflow.name!r} is archived; restore it first"
    if workflow.current_id is None:
        return f"workflow {workflow.name!r} is not published yet; publish it first"
    return None


def _lock(workflow: Workflow) -> bool:
    """Lock the workflow, and return whether it is archived. Raises CannotArchive if it was deleted meanwhile."""
    found = run(archives.LOCK_WORKFLOW, workflow=workflow.pk)
    if not found:
        raise CannotArchive(f"workflow {workflow.name!r} was deleted meanwhile")
    # As it is now: it may have been renamed since it was read.
    workflow.name, is_archived = found[0]
    return bool(is_archived)


def _refuse_alert(workflow: Workflow, what: str) -> None:
    if Workspace.objects.filter(alert_workflow=workflow).exists():
        raise CannotArchive(
            f"{workflow.name!r} is the alert workflow of its workspace: choose another or none before it is {what}"
        )


def _tell(workflow: Workflow, verb: str, *, actor: Actor) -> None:
    run(intervention_queries.INTERVENE_WORKFLOW, workflow=workflow.pk, verb=verb, by=actor.user_id, why=actor.reason)
