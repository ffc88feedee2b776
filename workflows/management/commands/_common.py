"""What the commands share: the workspace and user they act for, and how they end."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import NoReturn

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandParser

from workflows.definitions.errors import nearest
from workflows.models import Workflow, Workspace

# Bad input: a file, a name or a value that the caller can mend.
BAD_INPUT = 2


def leave(command: BaseCommand, lines: Iterable[object], *, status: int = BAD_INPUT) -> NoReturn:
    """End the command with these lines on standard error, one each, and this exit status."""
    for line in lines:
        command.stderr.write(" ".join(str(line).splitlines()))
    sys.exit(status)


def add_workspace(parser: CommandParser) -> None:
    parser.add_argument("--workspace", default="default", help="name of the workspace (default: default)")


def add_owner(parser: CommandParser) -> None:
    parser.add_argument("--owner", default="admin", help="user who owns what is made (default: admin)")


def find_workspace(command: BaseCommand, name: str) -> Workspace:
    workspace = Workspace.objects.filter(name=name).first()
    if workspace is None:
        leave(command, [f"--workspace: there is no workspace {name!r}; make it in the admin, or `make up` does"])
    return workspace


def find_workflow(command: BaseCommand, name: str, *, workspace: Workspace) -> Workflow:
    """The workspace's workflow of this name, its current version loaded."""
    known = Workflow.objects.filter(workspace=workspace, kind=Workflow.Kind.WORKFLOW)
    found = known.filter(name=name).select_related("current").first() if "\x00" not in name else None
    if found is None:
        hint = nearest(name, known.values_list("name", flat=True)[:500])
        leave(command, [f"there is no workflow {name!r} in workspace {workspace.name!r}{hint}"])
    return found


def find_user(command: BaseCommand, name: str) -> User:
    user = User.objects.filter(username=name).first()
    if user is None:
        leave(command, [f"there is no user {name!r}; make one with createsuperuser"])
    return user
