"""Names of workflows: a rename keeps the old one as an alias, until another workflow takes it."""

from __future__ import annotations

from uuid import UUID

from workflows.models import Workflow, WorkflowAlias, Workspace
from workflows.publishing.references import MOST_NAMED, referring


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
