"""What the commands share: options and lookups for workspace, workflow and user, and exiting with an error."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import NoReturn
from uuid import UUID

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandParser

from workflows.definitions.errors import nearest
from workflows.models import Workflow, Workspace
from workflows.publishing.names import by_alias

# Exit status for bad input: a file, a name or a value that the caller can correct.
BAD_INPUT = 2


def leave(command: BaseCommand, lines: Iterable[object], *, status: int = BAD_INPUT) -> NoReturn:
    """Exit with this status, after writing each item to standard error as one line."""
    for line in lines:
        command.stderr.write(" ".join(str(line).splitlines()))
    sys.exit(status)


def add_yes(parser: CommandParser) -> None:
    parser.add_argument("--yes", action="store_true", help="do not ask; scripts must give it")


def confirm(command: BaseCommand, what: str, *, yes: bool) -> None:
    """Say what is about to be done, and ask on a terminal; leave with status 2 if the answer is not yes.

    Where nobody can be asked, `--yes` must be given.
    """
    command.stdout.write(what)
    if yes:
        return
    if not sys.stdin.isatty():
        leave(command, ["nothing was done: nobody can be asked here; add --yes to do it without asking"])
    command.stdout.write("Go on? [y/N] ", ending="")
    command.stdout.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        leave(command, ["nothing was done"])


def add_workspace(parser: CommandParser) -> None:
    parser.add_argument("--workspace", default="default", help="name of the workspace (default: default)")


def add_owner(parser: CommandParser) -> None:
    parser.add_argument("--owner", default="admin", help="user who owns the new workflows (default: admin)")


def find_workspace(command: BaseCommand, name: str) -> Workspace:
    workspace = Workspace.objects.filter(name=name).first()
    if workspace is None:
        leave(command, [f"--workspace: there is no workspace {name!r}; make it in the admin, or `make up` does"])
    return workspace


def find_workflow(command: BaseCommand, name: str, *, workspace: Workspace) -> Workflow:
    """Return the workspace's workflow with this name, its current version loaded; exits if there is none."""
    known = Workflow.objects.filter(workspace=workspace, kind=Workflow.Kind.WORKFLOW, archived_at=None)
    workflow = known.filter(name=name).select_related("current").first() if "\x00" not in name else None
    workflow = workflow or by_alias(name, workspace=workspace)
    if workflow is None:
        hint = nearest(name, known.values_list("name", flat=True)[:500])
        leave(command, [f"there is no workflow {name!r} in workspace {workspace.name!r}{hint}"])
    return workflow


def find_any_workflow(command: BaseCommand, key: str, *, workspace: Workspace) -> Workflow:
    """Return the workspace's workflow with this name or id, else the only archived one of this name; else exits."""
    there = Workflow.objects.filter(workspace=workspace, kind=Workflow.Kind.WORKFLOW)
    named = list(there.filter(name=key).order_by("-archived_at")[:3]) if "\x00" not in key else []
    live = [one for one in named if one.archived_at is None]
    if live or len(named) == 1:
        return (live or named)[0]
    if named:
        leave(command, [f"several archived workflows were named {key!r}; give the id of one, as the admin shows it"])
    try:
        found = there.filter(pk=UUID(key)).first()
    except ValueError:
        found = None
    return found or find_workflow(command, key, workspace=workspace)


def find_user(command: BaseCommand, name: str) -> User:
    user = User.objects.filter(username=name).first()
    if user is None:
        leave(command, [f"there is no user {name!r}; make one with createsuperuser"])
    return user
