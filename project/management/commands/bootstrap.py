"""The command that prepares a database: migrations, and on the first start a workspace, an admin, a token, examples."""

from __future__ import annotations

import io
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from project.env import env_str, lookup
from project.stack import credentials
from workflows.models import ApiToken, Workspace
from workflows.workspaces import tokens

WORKSPACE = "default"


class Command(BaseCommand):
    """Called by `make up` before it starts anything. Calling it again changes nothing."""

    # handle() runs the system checks itself, so that those of the database are included.
    requires_system_checks = ()
    help = "Migrate, and create the workspace, the admin, the API token and the examples if they do not exist."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--examples", type=Path, help="directory of workflow files to load")

    def handle(self, *_: Any, examples: Path | None, **__: Any) -> None:
        """Each part is skipped if it is done already, so a start that was interrupted is completed by the next."""
        call_command("check", databases=["default"], stdout=io.StringIO())
        call_command("migrate", interactive=False, verbosity=0)
        user = ensure_admin()
        ours = _our_token()
        if ours is not None:
            renew_token(ours, user=user)
            return
        # Without a limit on its runs (DEFAULT_CONCURRENT_RUNS): there is no other workspace to leave room for yet, and
        # runs under a limit are admitted under locks, which takes longer.
        Workspace.objects.get_or_create(name=WORKSPACE)
        # Examples are loaded on the first start only: later, users may have edited them.
        if examples:
            load(examples, owner=user.get_username())
        issue_token(user)


def ensure_admin() -> Any:
    """Return the superuser of credentials.env, created on first use.

    A user with this name that another installation created is left unchanged; the admin then gets another name.
    """
    user_model = get_user_model()
    name = env_str("STEPWISE_ADMIN_USER", default="admin")
    password = env_str("STEPWISE_ADMIN_PASSWORD")
    known = user_model.objects.filter(username=name).first()
    if known is None:
        return create_admin(name, password=password)
    # If the token is ours, this installation created the admin as well, even if the password was changed since.
    if _our_token() is not None or known.check_password(password):
        return known
    name = f"admin-{settings.INSTALLATION_ID}"
    credentials.update(settings.STEPWISE_HOME, {"STEPWISE_ADMIN_USER": name})
    return create_admin(name, password=password)


def create_admin(name: str, *, password: str) -> Any:
    """Create a superuser. Raises CommandError for a password that the admin's own page would refuse, too."""
    user_model = get_user_model()
    try:
        validate_password(password, user_model(username=name))
    except ValidationError as error:
        hint = "choose another one; without it in .env or the environment `make up` makes one"
        raise CommandError(f"STEPWISE_ADMIN_PASSWORD: {' '.join(error.messages)} Please {hint}.") from None
    return user_model.objects.create_superuser(name, password=password)


@transaction.atomic
def issue_token(user: Any) -> None:
    """Issue a token in the default workspace and write it to credentials.env. It marks the first start as complete."""
    _, plaintext = tokens.issue(Workspace.objects.get(name=WORKSPACE), user, "make up")
    credentials.update(settings.STEPWISE_HOME, {"STEPWISE_TOKEN": plaintext})


def renew_token(token: ApiToken, *, user: Any) -> None:
    """Replace the token of credentials.env by one like it, where it has ended or ends soon. The old one stays as it is.

    A token that the operator set in the environment or in .env is left alone.
    """
    soon = timezone.now() + timedelta(days=tokens.WARNING_DAYS)
    kept = credentials.read(settings.STEPWISE_HOME).get("STEPWISE_TOKEN") == lookup("STEPWISE_TOKEN")
    if token.expires_at is not None and token.expires_at < soon and kept:
        _, plaintext = tokens.issue(token.workspace, user, token.name, scopes=token.scopes)
        credentials.update(settings.STEPWISE_HOME, {"STEPWISE_TOKEN": plaintext})


def load(directory: Path, *, owner: str) -> None:
    """Publish every workflow file of the directory."""
    files = sorted(path for path in directory.iterdir() if path.suffix in {".yaml", ".yml", ".json"})
    if not files:
        raise CommandError(f"{directory} holds no .yaml or .json file")
    call_command("load_workflow", *map(str, files), workspace=WORKSPACE, owner=owner)


def _our_token() -> ApiToken | None:
    """Return the token of credentials.env if this database knows it, also after its end."""
    token = lookup("STEPWISE_TOKEN")
    return tokens.find_ended_too(token) if token else None
