"""Bring a database up to date: migrations, and on the first start a workspace, an admin, a token, the examples."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from project.env import env_str, lookup
from project.stack import credentials
from workflows.models import Workspace
from workflows.workspaces import tokens

WORKSPACE = "default"


class Command(BaseCommand):
    """Does again what `make up` does before it starts anything; doing it twice changes nothing."""

    # Said once, by handle(), with the database's checks among them.
    requires_system_checks = ()
    help = "Migrate, and make the workspace, the admin, the API token and the examples unless they are there."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--examples", type=Path, help="directory of workflow files to load")

    def handle(self, *_: Any, examples: Path | None, **__: Any) -> None:
        """Each part stands alone, so that a start that was cut off is made whole by the next."""
        call_command("check", databases=["default"], stdout=io.StringIO())
        call_command("migrate", interactive=False, verbosity=0)
        user = ensure_admin()
        if _token_is_ours():
            return
        Workspace.objects.get_or_create(name=WORKSPACE)
        # On the first start only: later they may have been edited here, and are nobody's to overwrite.
        if examples:
            load(examples, owner=user.get_username())
        issue_token(user)


def ensure_admin() -> Any:
    """The superuser of credentials.env. One of that name that another installation made is left alone."""
    user_model = get_user_model()
    name = env_str("STEPWISE_ADMIN_USER", default="admin")
    password = env_str("STEPWISE_ADMIN_PASSWORD")
    known = user_model.objects.filter(username=name).first()
    if known is None:
        return user_model.objects.create_superuser(name, password=password)
    # A token of ours says that this admin is ours too, even with a password that was changed since.
    if _token_is_ours() or known.check_password(password):
        return known
    name = f"admin-{settings.INSTALLATION_ID}"
    credentials.update(settings.STEPWISE_HOME, {"STEPWISE_ADMIN_USER": name})
    return user_model.objects.create_superuser(name, password=password)


@transaction.atomic
def issue_token(user: Any) -> None:
    """A token in the default workspace, written to credentials.env; it says that the first start is complete."""
    _, plaintext = tokens.issue(Workspace.objects.get(name=WORKSPACE), user, "make up")
    credentials.update(settings.STEPWISE_HOME, {"STEPWISE_TOKEN": plaintext})


def load(directory: Path, *, owner: str) -> None:
    """Every workflow file of the directory."""
    files = sorted(path for path in directory.iterdir() if path.suffix in {".yaml", ".yml", ".json"})
    if not files:
        raise CommandError(f"{directory} holds no .yaml or .json file")
    call_command("load_workflow", *map(str, files), workspace=WORKSPACE, owner=owner)


def _token_is_ours() -> bool:
    token = lookup("STEPWISE_TOKEN")
    return bool(token) and tokens.find(str(token)) is not None
