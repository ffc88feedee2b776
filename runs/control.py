"""Start runs. The other control verbs will stand here beside it."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction

from runs import dispatch, transitions
from runs.requests import Request, Started
from workflows.models import Version, Workflow
from workflows.publish import check_input

__all__ = ["Request", "Started", "start"]


def start(requests: Sequence[Request], *, version: Version, workflow: Workflow, source: str) -> list[Started]:
    """Insert the runs in one statement, and dispatch after commit. The workflow is the version's own.

    Raises workflows.publish.InvalidInput when an input does not match the version's `inputs` schema; then
    nothing is started.
    """
    for request in requests:
        check_input(version, request.input)
    started = transitions.start(requests, version=version, workflow=workflow, source=source)
    transaction.on_commit(dispatch.after_commit)
    return started
