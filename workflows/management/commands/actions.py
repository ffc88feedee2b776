"""The command that lists all actions, or shows one with its config, output and examples."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from actions import described, registry
from actions.base import Action
from workflows.management.commands import _common


class Command(BaseCommand):
    help = "List all actions; with a name, show that action with its config, its output and examples."
    requires_system_checks: list[str] = []  # noqa: RUF012  # Django declares it so

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", nargs="?", help="the name or an alias of one action")
        parser.add_argument("--json", action="store_true", help="as JSON, with the JSON Schemas of config and output")

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["name"]
        if name is None:
            self._list(registry.usable(), as_json=options["json"])
            return
        try:
            action = registry.get(name)
        except registry.UnknownAction as error:
            _common.leave(self, [f"{error}; manage.py actions lists all"])
        if options["json"]:
            self.stdout.write(json.dumps(described.as_json(action), indent=2))
        else:
            self.stdout.write(described.page(action))

    def _list(self, actions: list[Action[Any]], *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps([described.as_json(action) for action in actions], indent=2))
            return
        for action in actions:
            self.stdout.write("\n".join(_lines(action)))
        for fault in registry.faults():
            self.stderr.write(f"not usable: {fault}")


def _lines(action: Action[Any]) -> list[str]:
    aliases = f" (also {', '.join(action.aliases)})" if action.aliases else ""
    package = registry.package_of(action.name)
    fields = [field.alias or name for name, field in action.config_class.model_fields.items()]
    return [
        f"{action.name}{aliases}: {action.summary}{'' if package == registry.OURS else f' [{package}]'}",
        f"    {described.traits(action)}",
        f"    with    {', '.join(fields) or 'nothing'}",
        f"    output  {action.output}",
    ]
