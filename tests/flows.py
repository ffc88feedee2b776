"""Make workflows and runs the way a user does: by publishing a definition and starting it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import transaction
from django.test import override_settings

from runs.control import starts
from runs.domain.requests import Request
from runs.models import Run, StepRun
from workflows.definitions.definition import Definition
from workflows.formats import parse
from workflows.formats.normalise import normalise
from workflows.models import Workflow, Workspace
from workflows.publishing import publish as publishing
from workflows.publishing.publish import Published, publish
from workflows.publishing.validate import Checked


def workspace(name: str = "default") -> Workspace:
    """The workspace of that name, made where it is not there yet."""
    return Workspace.objects.get_or_create(name=name)[0]


def owner() -> User:
    """The user that owns whatever tests publish."""
    user: User = get_user_model().objects.get_or_create(username="owner")[0]
    return user


def published(text: str) -> Published:
    """A definition in YAML, published in the default workspace."""
    return publish(parse.load(text).document, workspace=workspace(), owner=owner())


def of_earlier_release(text: str) -> Published:
    """A definition in YAML as an earlier release published it: today's checks of publishing do not see it."""
    definition = Definition.model_validate(normalise(parse.load(text).document).document)
    known = {"workspace": workspace(), "name": definition.name}
    with transaction.atomic():
        workflow = Workflow.objects.get_or_create(**known, defaults={"owner": owner()})[0]
        return publishing._publish(workflow, Checked(definition, None, ()), by=owner(), workflow_created=True)


def begun(found: Published, *inputs: Any, **options: Any) -> list[UUID]:
    """One run for each input (for one empty input where none is given); options go to every request."""
    requests = [Request(input=one, **options) for one in inputs or ({},)]
    started = starts.start(requests, version=found.version, workflow=found.workflow, source="test")
    return [one.run_id for one in started]


def queued(found: Published, *inputs: Any, **options: Any) -> list[UUID]:
    """The same while the broker's window has no room: the runs wait to be admitted."""
    with override_settings(DISPATCH_WINDOW_MESSAGES=0):
        return begun(found, *inputs, **options)


def steps(run_id: UUID) -> dict[str, StepRun]:
    """The run's step rows by step."""
    return {row.step: row for row in StepRun.objects.filter(run_id=run_id)}


def states(run_id: UUID) -> dict[str, str]:
    """The state of every step that has a row."""
    return {step: row.state for step, row in steps(run_id).items()}


def the_run(run_id: UUID) -> Run:
    """The run as it stands in the database."""
    return Run.objects.get(pk=run_id)
