"""Publish definitions: a name finds or makes the workflow, content finds or makes the version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Max

from actions.base import Json
from workflows.definitions.definition import Definition
from workflows.models import Version, Workflow, Workspace
from workflows.publishing import draft
from workflows.publishing.jobs import JOBS_WORKFLOW, job_definition
from workflows.publishing.validate import Checked, validate


@dataclass(frozen=True)
class Published:
    """What publishing made or found. `start_input` is there for the short form: start it at once with it."""

    workflow: Workflow
    version: Version
    workflow_created: bool
    version_created: bool
    start_input: dict[str, Json] | None
    warnings: tuple[str, ...]


def publish(document: Json | Definition, *, workspace: Workspace, owner: User, name: str | None = None) -> Published:
    """Publish a document of any accepted form into the workspace; `name` counts where it has none.

    A new name makes the workflow, a known one its next version; content that was published before keeps its
    version, which is current again. Raises DefinitionError; then nothing was stored.
    """
    given = document.canonical() if isinstance(document, Definition) else document
    checked = validate(given, name=name)
    with transaction.atomic():
        workflow, created = Workflow.objects.get_or_create(
            workspace=workspace, name=checked.definition.name, defaults={"owner": owner}
        )
        return _publish(workflow, checked, by=owner, workflow_created=created)


def publish_draft(workflow: Workflow, *, by: User) -> Published:
    """Publish what the workflow's own fields and its step rows say. Raises DefinitionError."""
    checked = validate(draft.document(workflow))
    with transaction.atomic():
        return _publish(workflow, checked, by=by, workflow_created=False)


def job_version(
    workspace: Workspace,
    *,
    owner: User,
    action: str,
    max_retries: int | None = None,
) -> Version:
    """The version that all jobs of this action and number of retries share; None: the action's own retries.

    Raises DefinitionError at `type` or `max_retries`.
    """
    definition = job_definition(action, max_retries=max_retries)
    with transaction.atomic():
        workflow, _ = Workflow.objects.get_or_create(
            workspace=workspace, name=JOBS_WORKFLOW, defaults={"owner": owner, "kind": Workflow.Kind.JOBS}
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
    return Published(workflow, version, workflow_created, created, checked.start_input, checked.warnings)


def _locked(workflow: Workflow) -> Workflow:
    """The workflow as it is now, kept from other publishers; runs may go on referring to it (no_key)."""
    return Workflow.objects.select_for_update(no_key=True).get(pk=workflow.pk)


def _version(workflow: Workflow, definition: Definition, *, by: User) -> tuple[Version, bool]:
    """The version of a locked workflow with this content, and whether it was made."""
    digest = definition.hash()
    known = Version.objects.filter(workflow=workflow, hash=digest).first()
    if known is not None:
        return known, False
    newest: dict[str, Any] = Version.objects.filter(workflow=workflow).aggregate(number=Max("number"))
    made = Version.objects.create(
        workflow=workflow,
        number=(newest["number"] or 0) + 1,
        hash=digest,
        definition=definition.canonical(),
        roots=definition.roots(),
        timeout=definition.timeout,
        created_by=by,
    )
    return made, True
