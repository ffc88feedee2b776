"""List dead letters: steps that gave up and whose failure nothing handled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandParser

from runs.domain.states import DeadLetterState
from runs.history import words
from runs.models import DeadLetter
from runs.schemas import dead_letters
from workflows.definitions.errors import nearest
from workflows.management.commands import _common
from workflows.models import Workflow, Workspace

_HEADINGS = ("ID", "RUN", "WORKFLOW", "STEP", "STATE", "CREATED", "ERROR")


class Command(BaseCommand):
    help = "List dead letters, newest first: one line each, or with --json all that the API tells of each."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--state", choices=[*(state.value for state in DeadLetterState), "all"], default="open")
        parser.add_argument("--workflow", metavar="NAME")
        parser.add_argument("--limit", type=int, default=100, help="how many at most (default: 100)")
        parser.add_argument("--json", action="store_true", help="a JSON array, with input, config and attempts")
        _common.add_workspace(parser)

    def handle(self, **options: Any) -> None:
        if options["limit"] < 1:
            _common.leave(self, ["--limit: must be at least 1"])
        workspace = _common.find_workspace(self, options["workspace"])
        found = DeadLetter.objects.filter(workspace=workspace).select_related("workflow").defer("workflow__settings")
        if options["state"] != "all":
            found = found.filter(state=options["state"])
        if options["workflow"] is not None:
            found = found.filter(workflow=self._find(options["workflow"], workspace=workspace))
        letters = list(found.order_by("-id")[: options["limit"]])
        if options["json"]:
            told = [dead_letters.dead_letter_detail(dead_letter, secrets=True).as_json() for dead_letter in letters]
            self.stdout.write(orjson.dumps(told, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z).decode())
            return
        for line in _table([_HEADINGS, *map(_row, letters)]) if letters else ["no dead letters"]:
            self.stdout.write(line)

    def _find(self, name: str, *, workspace: Workspace) -> Workflow:
        known = Workflow.objects.filter(workspace=workspace)
        workflow = known.filter(name=name).first()
        if workflow is None:
            hint = nearest(name, known.values_list("name", flat=True)[:500])
            _common.leave(self, [f"--workflow: there is no workflow {name!r} in workspace {workspace.name!r}{hint}"])
        return workflow


def _row(dead_letter: DeadLetter) -> tuple[str, ...]:
    told = (
        str(dead_letter.pk),
        str(dead_letter.run_id),
        dead_letter.workflow.name,
        dead_letter.place,
        dead_letter.state,
        f"{dead_letter.created_at:%Y-%m-%d %H:%M:%S}",
        words.error_line(dead_letter.error)[:200],
    )
    return tuple(words.printable(text) for text in told)


def _table(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
