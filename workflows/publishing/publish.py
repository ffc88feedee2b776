"""Publish definitions: get or create the workflow by its name, and the version by the hash of its content."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Max

from actions.base import Json
from workflows.definitions import credential_names
from workflows.definitions.definition import Definition
from workflows.definitions.errors import refuse
from workflows.models import Version, Workflow, Workspace
from workflows.publishing import draft
from workflows.publishing.jobs import JOBS_WORKFLOW, job_definition
from workflows.publishing.names import by_alias, taken
from workflows.publishing.references import credential_warnings, unknown_sub_workflows
from workflows.publishing.validate import Checked, validate
from workflows.publishing.variables import variable_warnings
from workflows.workspaces import permissions
from workflows.workspaces.permissions import Caller, Right

# Asked of whoever publishes a workflow that names credentials, whichever way they come.
USE_CREDENTIALS = permissions.way("use credentials in workflows", Right.USE_CREDENTIALS)


@dataclass(frozen=True)
class Published:
    """The workflow and version that were created or existed. `start_input` is set for the short form only.

    The short form is a workflow and its first run in one: the caller should start a run with `start_input`.
    """

    workflow: Workflow
    version: Version
    workflow_created: bool
    version_created: bool
    start_input: dict[str, Json] | None
    warnings: tuple[str, ...]


def publish(
    document: Json | Definition,
    *,
    workspace: Workspace,
    owner: User,
    name: str | None = None,
    caller: Caller = permissions.SERVER,
) -> Published:
    """Publish a document of any accepted form into the workspace; `name` is used if the document has none.

    A new name creates the workflow, a known name its next version. If the same content was published before, no
    version is created, and the existing one becomes current again. Raises DefinitionError, and Forbidden if the caller
    may not use the credentials that it names; then nothing was stored.
    """
    given = document.canonical() if isinstance(document, Definition) else document
    checked = validate(given, name=name)
    _require_use(checked.definition, caller=caller, workspace=workspace)
    with transaction.atomic():
        workflow, created = Workflow.objects.get_or_create(
            workspace=workspace, name=checked.definition.name, archived_at=None, defaults={"owner": owner}
        )
        told = []
        if created:
            if (other := by_alias(workflow.name, workspace=workspace)) is not None:
                told = [f"workflow {other.name!r} had the name {workflow.name!r}, which means this new one from now on"]
            taken(workflow.name, workspace=workspace)
        found = _publish(workflow, checked, by=owner, workflow_created=created)
        return replace(found, warnings=(*found.warnings, *told))


def publish_draft(workflow: Workflow, *, by: User, caller: Caller = permissions.SERVER) -> Published:
    """Publish a workflow's draft, which is its own fields and its Step rows. Raises DefinitionError and Forbidden."""
    checked = validate(draft.document(workflow))
    _require_use(checked.definition, caller=caller, workspace=workflow.workspace)
    if workflow.archived_at is not None:
        raise refuse("", f"workflow {workflow.name!r} is archived; restore it before you publish")
    with transaction.atomic():
        return _publish(workflow, checked, by=by, workflow_created=False)


def job_version(
    workspace: Workspace,
    *,
    owner: User,
    action: str,
    max_retries: int | None = None,
) -> Version:
    """Return the version that all jobs of this action and number of retries share, created on first use.

    With `max_retries` None the action's own retry policy holds. Raises DefinitionError with the path `type` or
    `max_retries`.
    """
    definition = job_definition(action, max_retries=max_retries)
    with transaction.atomic():
        workflow, _ = Workflow.objects.get_or_create(
            workspace=workspace,
            name=JOBS_WORKFLOW,
            archived_at=None,
            defaults={"owner": owner, "kind": Workflow.Kind.JOBS},
        )
        known = Version.objects.filter(workflow=workflow, hash=definition.hash()).first()
        return known or _version(_locked(workflow), definition, by=owner)[0]


def _publish(workflow: Workflow, checked: Checked, *, by: User, workflow_created: bool) -> Published:
    definition = checked.definition
    workflow = _locked(workflow)
    version, created = _version(workflow, definition, by=by)
    limit = definition.concurrency.limit if definition.concurrency else None
    if workflow.current_id != version.id or workflow.concurrent_runs != limit:
        workflow.current = version
        workflow.concurrent_runs = limit
        workflow.description = definition.description
        workflow.settings = draft.settings_of(definition)
        workflow.save(update_fields=["current", "concurrent_runs", "description", "settings"])
        draft.replace_steps(workflow, definition)
    warnings = (
        *checked.warnings,
        *unknown_sub_workflows(definition, workspace=workflow.workspace),
        *credential_warnings(definition, workspace=workflow.workspace),
        *variable_warnings(definition, workspace=workflow.workspace),
    )
    return Published(workflow, version, workflow_created, created, checked.start_input, warnings)


def _require_use(definition: Definition, *, caller: Caller, workspace: Workspace) -> None:
    """Raises Forbidden if the definition names credentials, and the caller may not use any."""
    if credential_names.named(definition):
        permissions.require(caller, USE_CREDENTIALS, workspace=workspace)


def _locked(workflow: Workflow) -> Workflow:
    """Lock the workflow against other publishers and read it again. The lock (no_key) lets runs still refer to it."""
    return Workflow.objects.select_for_update(no_key=True).get(pk=workflow.pk)


def _version(workflow: Workflow, definition: Definition, *, by: User) -> tuple[Version, bool]:
    """Get or create the version of a locked workflow with this content; the bool says whether it was created."""
    digest = definition.hash()
    known = Version.objects.filter(workflow=workflow, hash=digest).first()
    if known is not None:
        return known, False
    newest: dict[str, Any] = Version.objects.filter(workflow=workflow).aggregate(number=Max("number"))
    version = Version.objects.create(
        workflow=workflow,
        number=(newest["number"] or 0) + 1,
        hash=digest,
        definition=definition.canonical(),
        roots=definition.roots(),
        timeout=definition.timeout,
        created_by=by,
    )
    return version, True
