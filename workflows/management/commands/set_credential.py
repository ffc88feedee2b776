"""The command that makes a credential, or gives it other values, without its values on the command line."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from actions import payload
from actions.base import Json
from workflows.credentials import kinds, store
from workflows.credentials.encryption import KeyMissing
from workflows.definitions.errors import DefinitionError
from workflows.management.commands import _common


class Command(BaseCommand):
    help = (
        "Make a credential, or replace its values. They come from a JSON file or standard input (--values), or are "
        "asked for; never from the command line, which other users of the host can see."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME")
        parser.add_argument("--kind", choices=[*kinds.KINDS], help="needed for a new one")
        parser.add_argument("--values", metavar="FILE", help="JSON object of the values; - for standard input")
        parser.add_argument(
            "--host",
            action="append",
            default=[],
            metavar="HOST",
            help="where it may be sent; may be given several times (default: as before)",
        )
        parser.add_argument("--requests", metavar="RATE", help="such as 10/s (default: as before)")
        _common.add_workspace(parser)

    def handle(self, **options: Any) -> None:
        workspace = _common.find_workspace(self, options["workspace"])
        known = store.find(options["name"], workspace=workspace)
        kind = options["kind"] or (known.kind if known else None)
        if kind is None:
            _common.leave(self, [f"--kind: is needed for a new credential; known are {', '.join(kinds.KINDS)}"])
        wanted = store.Wanted(
            name=options["name"],
            kind=kind,
            values=self._values(options["values"], kind=kind),
            hosts=options["host"] or (known.hosts if known else ()),
            requests=(known.requests if known else "") if options["requests"] is None else options["requests"],
        )
        try:
            if known:
                store.replace(known, wanted)
            else:
                store.create(wanted, workspace=workspace, by=None)
        except DefinitionError as error:
            _common.leave(self, error.problems)
        except KeyMissing as error:
            _common.leave(self, [error])
        self.stdout.write(f"credential {wanted.name!r} {'has new values' if known else 'was made'}")

    def _values(self, source: str | None, *, kind: str) -> dict[str, Json]:
        if source is None:
            return self._asked(kind)
        try:
            text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
            found = payload.loads(text)
        except (OSError, UnicodeDecodeError) as error:
            _common.leave(self, [f"--values: {source} cannot be read ({error})"])
        except payload.PayloadError:
            # Without what it found, which may be a part of a secret.
            _common.leave(self, ['--values: is not JSON; write an object such as {"token": "..."}'])
        if not isinstance(found, dict):
            _common.leave(self, ['--values: must be a JSON object such as {"token": "..."}'])
        return found

    def _asked(self, kind: str) -> dict[str, Json]:
        """Ask for each value on the terminal; secret ones are not shown."""
        if not sys.stdin.isatty():
            _common.leave(self, ["--values: nobody can be asked here; give a file, or - for standard input"])
        model = kinds.find(kind).values
        if model is None:
            _common.leave(self, ["--values: fields of your own names come from a file, or - for standard input"])
        found: dict[str, Json] = {}
        for name, field in model.model_fields.items():
            word = field.alias or name
            hint = "" if field.is_required() else f" [{'' if field.default is None else field.default}]"
            ask = getpass.getpass if word in model.secret else input
            answer = ask(f"{word}{hint}: ")
            if answer:
                found[word] = int(answer) if field.annotation is int and answer.isdecimal() else answer
        return found
