"""Start a workflow, wait for its end, print what happened."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction

from actions import payload
from actions.base import Json
from runs.control import keys, starts, verbs
from runs.control.keys import KeyTaken
from runs.domain.requests import Request
from runs.domain.states import RUN_ENDED, STEP_ENDED, RunState
from runs.management.commands import _by_hand, _report
from runs.models import Run, StepRun
from workflows.definitions.errors import InvalidInput
from workflows.management.commands import _common
from workflows.models import Workflow
from workflows.workspaces import permissions
from workflows.workspaces.permissions import Right

WAY = permissions.way("command: run_workflow", Right.START)
ENDED_BADLY = 1
STILL_RUNNING = 3
_FIRST_PAUSE_SECONDS = 0.02
_LONGEST_PAUSE_SECONDS = 0.5


class Command(BaseCommand):
    help = (
        f"{verbs.START.does} Waits for its end and prints its timeline. Exit status: 0 succeeded, 1 ended otherwise, "
        "2 bad input or unknown workflow, 3 still running after the timeout."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME")
        parser.add_argument("--input", default="{}", metavar="JSON|@FILE", help="the run's input (default: {})")
        parser.add_argument("--key", help="idempotency key: a known one shows the first run")
        _by_hand.add_on_conflict(parser)
        parser.add_argument("--label", action="append", default=[], metavar="KEY=VALUE")
        parser.add_argument("--priority", type=_priority, help="-100 to 100, higher first (default: the definition's)")
        parser.add_argument("--timeout", type=_seconds, default=300.0, help="seconds to wait (default: 300)")
        parser.add_argument("--no-wait", action="store_true", help="print the run's id and leave")
        _common.add_workspace(parser)

    def handle(self, **options: Any) -> None:
        workspace = _common.find_workspace(self, options["workspace"])
        workflow = _common.find_workflow(self, options["name"], workspace=workspace)
        request = Request(
            self._input(options["input"]),
            idempotency_key=self._key(options["key"]),
            labels=self._labels(options["label"]),
            priority=options["priority"],
            compares=options["on_conflict"] == "refuse",
        )
        run_id = self._start(request, workflow=workflow)
        if options["no_wait"]:
            self.stdout.write(str(run_id))
            return
        state = self._wait(run_id, timeout_seconds=options["timeout"])
        run = Run.objects.select_related("workflow", "version").get(pk=run_id)
        for line in _report.timeline(run):
            self.stdout.write(line)
        if state not in RUN_ENDED:
            waited = f"still {state} after {options['timeout']:g} s"
            _common.leave(self, [f"{waited}; see manage.py show_run {run_id}"], status=STILL_RUNNING)
        if state != RunState.SUCCEEDED:
            sys.exit(ENDED_BADLY)

    def _start(self, request: Request, *, workflow: Workflow) -> UUID:
        permissions.require(permissions.SERVER, WAY, workspace=workflow.workspace_id)
        if workflow.current is None:
            _common.leave(self, [f"workflow {workflow.name!r} is not published yet; publish it first"])
        try:
            with transaction.atomic():
                answers = starts.start([request], version=workflow.current, workflow=workflow, source="command")
                return keys.only(answers, key=request.idempotency_key).run_id
        except InvalidInput as error:
            _common.leave(self, error.problems)
        except KeyTaken as error:
            _common.leave(self, [f"--key: {error}"])

    def _input(self, given: str) -> Json:
        try:
            data = Path(given[1:]).read_bytes() if given.startswith("@") else given
            return payload.loads(data)
        except OSError as error:
            _common.leave(self, [f"--input: {given[1:]}: {error.strerror}"])
        except payload.PayloadError as error:
            _common.leave(self, [f"--input: {error.path + ': ' if error.path else ''}{error}"])

    def _key(self, given: str | None) -> str | None:
        if given is not None and not (1 <= len(given) <= 255 and given.isprintable()):
            _common.leave(self, ["--key: must have 1 to 255 printable characters"])
        return given

    def _labels(self, given: list[str]) -> dict[str, str]:
        found = {}
        for label in given:
            key, equals, value = label.partition("=")
            if not (key and equals and label.isprintable()) or len(key) > 63 or len(value) > 255:
                _common.leave(self, [f"--label: {label[:80]!r} must be key=value, at most 63 and 255 characters"])
            found[key] = value
        return found

    def _wait(self, run_id: UUID, *, timeout_seconds: float) -> str:
        """The run's state at its end or at the timeout. Each change is told on standard error."""
        deadline = time.monotonic() + timeout_seconds
        told = ""
        for pause in _pauses():
            state = Run.objects.values_list("state", flat=True).get(pk=run_id)
            done = StepRun.objects.filter(run_id=run_id, state__in=[s.value for s in STEP_ENDED]).count()
            if (progress := f"{state}, {done} steps done") != told:
                told = progress
                self.stderr.write(told)
            if state in RUN_ENDED or time.monotonic() >= deadline:
                break
            time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
        return str(state)


def _seconds(given: str) -> float:
    seconds = float(given)
    if not 0 <= seconds < 1e9:
        raise ValueError("no length of time")
    return seconds


def _priority(given: str) -> int:
    priority = int(given)
    if not -100 <= priority <= 100:
        raise ValueError("no priority")
    return priority


def _pauses() -> Iterator[float]:
    pause = _FIRST_PAUSE_SECONDS
    while True:
        yield pause
        pause = min(pause * 1.3, _LONGEST_PAUSE_SECONDS)
