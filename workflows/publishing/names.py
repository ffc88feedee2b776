"""Names of workflows: a rename keeps the old one as an alias, until another workflow takes it."""

from __future__ import annotations

import re
from uuid import UUID

from django.db import IntegrityError, transaction

from workflows.definitions.errors import InvalidInput, Problem
from workflows.definitions.names import NAME_PATTERN, name_fault
from workflows.models import Workflow, WorkflowAlias, Workspace
from workflows.publishing.references import MOST_NAMED, referring


class CannotRename(Exception):
    """The workflow cannot have this name now; the message says why."""


def rename(workflow: Workflow, *, name: str) -> str:
    """Give a workflow another name, and return what to say of it. Raises InvalidInput for a name that cannot be.

    Raises CannotRename if the workflow is archived, or another has the name.
    """
    if not re.match(NAME_PATTERN, name):
        raise InvalidInput([Problem("name", "must not begin with _, nor have control characters; write a plain name")])
    if (fault := name_fault(name)) is not None:
        raise InvalidInput([Problem("name", fault)])
    with transaction.atomic():
        now = Workflow.objects.select_for_update(no_key=True).get(pk=workflow.pk)
        if now.archived_at is not None:
            raise CannotRename("the workflow is archived, and its name is free for another; restore it first")
        if now.name == name:
            return f"The workflow has the name {name!r} already."
        old, now.name = now.name, name
        try:
            with transaction.atomic():
                now.save(update_fields=["name"])
        except IntegrityError:
            raise CannotRename(f"another workflow of this workspace has the name {name!r}; choose another") from None
        workflow.name = name
        return renamed(now, old=old)


def renamed(workflow: Workflow, *, old: str) -> str:
    """Keep the old name of a workflow that was renamed, and return what to say of it. Call it in that transaction."""
    taken(workflow.name, workspace=workflow.workspace_id)
    WorkflowAlias.objects.update_or_create(
        workspace_id=workflow.workspace_id, name=old, defaults={"workflow": workflow}
    )
    names = referring(workflow, names=[old])
    who = ", ".join(repr(name) for name in names[:MOST_NAMED]) + (" and more" if len(names) > MOST_NAMED else "")
    used = f" It is used by {who}." if names else " No published workflow uses it."
    return f"The old name {old!r} goes on meaning {workflow.name!r} until another workflow takes it.{used}"


def taken(name: str, *, workspace: Workspace | UUID) -> None:
    """Forget the alias of this name: from now on a workflow itself has it."""
    WorkflowAlias.objects.filter(workspace=workspace, name=name).delete()


def by_alias(name: str, *, workspace: Workspace | UUID) -> Workflow | None:
    """Return the workflow that was once named so, its current version loaded; None for archived ones."""
    aliases = WorkflowAlias.objects.filter(workspace=workspace, name=name, workflow__archived_at=None)
    found = aliases.select_related("workflow__current", "workflow__workspace").first() if "\x00" not in name else None
    return found.workflow if found is not None else None
