"""The command that lists all actions, with their config fields and output."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from actions import registry
from actions.base import Action


class Command(BaseCommand):
    help = "List all actions, with the config fields and the output of each."
    requires_system_checks: list[str] = []  # noqa: RUF012  # Django declares it so

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="as JSON, with the JSON Schema of each config")

    def handle(self, *args: Any, **options: Any) -> None:
        actions = [registry.get(name) for name in registry.names()]
        if options["json"]:
            self.stdout.write(json.dumps([_described(action) for action in actions], indent=2))
            return
        for action in actions:
            self.stdout.write("\n".join(_lines(action)))


def _described(action: Action[Any]) -> dict[str, Any]:
    return {
        "name": action.name,
        "aliases": list(action.aliases),
        "summary": action.summary,
        "output": action.output,
        "pure": action.pure,
        "parks": action.parks,
        "repeatable": action.repeatable,
        "timeout_seconds": action.timeout_seconds,
        "max_attempts": action.retry.max_attempts,
        "config": action.config_class.model_json_schema(),
    }


def _lines(action: Action[Any]) -> list[str]:
    aliases = f" (also {', '.join(action.aliases)})" if action.aliases else ""
    traits = [
        _effect(action),
        "repeatable" if action.repeatable else "not repeated by itself",
        f"timeout {action.timeout_seconds:g} s",
        "1 attempt" if action.retry.max_attempts == 1 else f"{action.retry.max_attempts} attempts",
    ]
    fields = [field.alias or name for name, field in action.config_class.model_fields.items()]
    return [
        f"{action.name}{aliases}: {action.summary}",
        f"    {', '.join(traits)}",
        f"    with    {', '.join(fields) or 'nothing'}",
        f"    output  {action.output}",
    ]


def _effect(action: Action[Any]) -> str:
    if action.parks:
        return "parks"
    return "pure" if action.pure else "effectful"
