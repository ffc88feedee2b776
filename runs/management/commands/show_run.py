"""Print what happened in one run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import orjson
from django.core.management.base import BaseCommand, CommandParser

from runs.control import approvals
from runs.history import retried_below, timeline, words
from runs.management.commands import _report
from runs.models import DeadLetter, Run
from runs.schemas import runs
from workflows.management.commands import _common


class Command(BaseCommand):
    help = "Print a run's timeline, input, output, labels and dead letters; with --json all that the API tells."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", metavar="ID")
        parser.add_argument("--json", action="store_true", help="print it as JSON, steps in full")

    def handle(self, **options: Any) -> None:
        run = self._find(options["id"])
        if options["json"]:
            told = runs.run_detail(
                run, steps=timeline.timeline(run), interventions=timeline.interventions(run), secrets=True
            )
            text = orjson.dumps(told.as_json(), option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z).decode()
            self.stdout.write(text)
            return
        notes = retried_below.notes(run, steps=timeline.timeline(run), interventions=timeline.interventions(run))
        for line in [*_report.timeline(run), *_facts(run), *(words.printable(f"note    {note}") for note in notes)]:
            self.stdout.write(line)

    def _find(self, key: str) -> Run:
        try:
            run_id = UUID(key)
        except ValueError:
            _common.leave(self, [f"{key!r} is no run id; run_workflow and the API print them"])
        run = Run.objects.select_related("workflow", "version", "gate").filter(pk=run_id).first()
        if run is None:
            _common.leave(self, [f"there is no run {key}"])
        return run


def _facts(run: Run) -> Iterator[str]:
    if run.ending is not None:
        yield f"ending  its work has {run.ending}; what follows is not done yet"
    yield f"input   {words.json_line(run.input)}"
    if run.output is not None:
        yield f"output  {words.json_line(run.output)}"
    if run.labels:
        yield f"labels  {words.json_line(run.labels)}"
    if run.idempotency_key is not None:
        yield f"key     {words.printable(run.idempotency_key)}"
    if run.replay_of_id is not None:
        yield f"replay of  {run.replay_of_id}"
    if run.parent_id is not None:
        yield f"started by  {run.parent_id}, step {run.parent_step}"
    for dead_letter in DeadLetter.objects.filter(run=run).order_by("id"):
        yield f"dead letter {dead_letter.pk}  {dead_letter.state}  step {dead_letter.step}  {dead_letter.reason}"
        yield f"  error  {words.error_line(dead_letter.error)}"
        yield f"  input  {words.json_line(dead_letter.input)}"
    for one in timeline.interventions(run):
        by = approvals.who(one)
        yield words.printable(f"{one.verb} by {by} at {one.at:%Y-%m-%d %H:%M:%S} UTC  {one.why}".rstrip())
