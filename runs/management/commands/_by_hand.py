"""What the commands that do something by hand share: ids, the reason, JSON values, and the lines they print."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from uuid import UUID

from django.core.management.base import BaseCommand, CommandParser

from actions import payload
from actions.base import Json
from runs.control.preconditions import AT_ONCE
from runs.control.verbs import Verb
from runs.domain.actor import Actor
from workflows.management.commands import _common
from workflows.workspaces import permissions
from workflows.workspaces.permissions import Right

NOTHING_WON = 1
WAY = permissions.way("command: verbs by hand", Right.CHANGE_RUNS)


def help_of(verb: Verb) -> str:
    """What `manage.py help` says of a command that does the verb to many."""
    return f"{verb.does} Exit status: 0 when at least one was {verb.past}, 1 when none was, 2 bad input."


def add_why(parser: CommandParser) -> None:
    parser.add_argument("--why", required=True, metavar="REASON", help="the reason; it is kept with the run")
    add_by(parser)


def add_by(parser: CommandParser) -> None:
    parser.add_argument("--by", metavar="USER", help="on whose behalf (default: nobody's, a command)")


def add_on_conflict(parser: CommandParser) -> None:
    parser.add_argument(
        "--on-conflict",
        choices=["refuse", "return"],
        default="refuse",
        help="for an idempotency key that is known with another input: refuse, or return what the first has made",
    )


def actor(command: BaseCommand, why: str, *, by: str | None = None) -> Actor:
    """The actor of a command: nobody by name, or the user `by`.

    Leaves with status 2 for a reason that is empty or cannot be stored, or where there is no such user.
    """
    if not why.strip() or len(why) > 2000 or not why.isprintable():
        _common.leave(command, ["--why: must be one line of 1 to 2000 printable characters"])
    return Actor(reason=why, user_id=user_id(command, by))


def user_id(command: BaseCommand, by: str | None) -> int | None:
    """The user `by`, None for nobody. Leaves with status 2 where there is no such user.

    Whoever may run commands on the server may do everything; `by` is only whom the history names.
    """
    permissions.require(permissions.SERVER, WAY)
    return None if by is None else _common.find_user(command, by).pk


def run_ids(command: BaseCommand, keys: Sequence[str]) -> list[UUID]:
    """The ids of runs, each once. Leaves with status 2 for what is none."""
    return _ids(command, keys, what="run", hint="run_workflow and the API print them")


def dead_letter_ids(command: BaseCommand, keys: Sequence[str]) -> list[UUID]:
    """The ids of dead letters, each once. Leaves with status 2 for what is none."""
    return _ids(command, keys, what="dead letter", hint="`dead_letters` prints them")


def read_json(command: BaseCommand, given: str, *, name: str) -> Json:
    """The value of JSON, or of @FILE. Leaves with status 2 for what is none."""
    try:
        return payload.loads(Path(given[1:]).read_bytes() if given.startswith("@") else given)
    except OSError as error:
        _common.leave(command, [f"{name}: {given[1:]}: {error.strerror}"])
    except payload.PayloadError as error:
        _common.leave(command, [f"{name}: {error.path + ': ' if error.path else ''}{error}"])


def tell(  # noqa: PLR0913 - all that there is to say of each id
    command: BaseCommand,
    ids: Iterable[UUID],
    *,
    won: frozenset[UUID],
    verb: str,
    why_not: Mapping[UUID, str],
    notes: Mapping[UUID, str] | None = None,
) -> None:
    """Print a line for each id, and one for each note; leave with status 1 where nothing was changed."""
    for run_id in ids:
        if run_id in won:
            command.stdout.write(f"{run_id}  {verb}")
            if notes and run_id in notes:
                command.stderr.write(f"{run_id}  note: {notes[run_id]}")
        else:
            command.stderr.write(f"{run_id}  {why_not[run_id]}")
    if not won:
        sys.exit(NOTHING_WON)


def _ids(command: BaseCommand, keys: Sequence[str], *, what: str, hint: str) -> list[UUID]:
    if len(keys) > AT_ONCE:
        _common.leave(command, [f"{len(keys)} {what}s are too many at once; name at most {AT_ONCE}"])
    try:
        return list(dict.fromkeys(UUID(key) for key in keys))
    except ValueError:
        wrong = next(key for key in keys if not _is_id(key))
        _common.leave(command, [f"{wrong!r} is no {what} id; {hint}"])


def _is_id(key: str) -> bool:
    try:
        UUID(key)
    except ValueError:
        return False
    return True
