"""One answer to "may this caller do this here?", asked by every way in before it reads, starts or changes anything.

A way in registers itself with `way`, says which right it needs, and asks `may` or `require` with it. Today's rules: a
token has the rights of its scopes in its own workspace; a superuser with a session has every right over the API in the
workspace `default`; at the admin Django's permissions decide, for all workspaces; a signed link may decide the approval
that it was made for; commands and the engine itself may do everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from uuid import UUID

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser, PermissionsMixin
from django.db.models import Model

from workflows.models import ApiToken, Scope, Workspace

# The workspace that a superuser with a session sees over the API.
SESSION_WORKSPACE = "default"


class Right(StrEnum):
    """What a way in needs. The value ends the sentence `this account may not ...`."""

    READ = "look into this workspace"
    PUBLISH = "publish workflows"
    START = "start runs"
    CHANGE_RUNS = "change runs"
    CHANGE_DEAD_LETTERS = "change dead letters"
    DECIDE = "decide approvals"
    USE_CREDENTIALS = "publish workflows that use credentials"
    CHANGE_CREDENTIALS = "change credentials"


# Which of Django's permissions gives the right at the admin. Who may look at rows is decided by may_at_admin.
_AT_ADMIN: Mapping[Right, str] = {
    Right.START: "runs.add_run",
    Right.CHANGE_RUNS: "runs.change_run",
    Right.CHANGE_DEAD_LETTERS: "runs.change_deadletter",
    Right.DECIDE: "runs.change_run",
    Right.PUBLISH: "workflows.change_workflow",
    Right.USE_CREDENTIALS: "workflows.use_credential",
    Right.CHANGE_CREDENTIALS: "workflows.change_credential",
}

# The scope that a token needs for a right in its own workspace. No right is left out, so a new one must name its scope.
SCOPE_OF: Mapping[Right, Scope] = {
    Right.READ: Scope.READ,
    Right.START: Scope.START,
    Right.CHANGE_RUNS: Scope.OPERATE,
    Right.CHANGE_DEAD_LETTERS: Scope.OPERATE,
    Right.DECIDE: Scope.OPERATE,
    Right.PUBLISH: Scope.PUBLISH,
    Right.USE_CREDENTIALS: Scope.USE,
    Right.CHANGE_CREDENTIALS: Scope.ADMIN,
}

# What a user of the admin has to be allowed before they may give a token this scope: else a token would be a way
# around Django's permissions. Only superusers give `admin`.
_TO_GIVE: Mapping[Scope, tuple[str, ...]] = {
    Scope.READ: ("runs.view_run", "runs.view_deadletter", "workflows.view_workflow"),
    Scope.START: ("runs.add_run",),
    Scope.OPERATE: ("runs.change_run", "runs.change_deadletter"),
    Scope.PUBLISH: ("workflows.add_workflow", "workflows.change_workflow"),
    Scope.USE: ("workflows.use_credential",),
}

# The rule for tokens once more, as SQL, for statements that look again in their own snapshot (START_AUTHORIZED): the
# sha256 of those among %(tokens)s that may start runs in %(workspace)s. A change of `may` for tokens changes it, too.
TOKENS_THAT_MAY_START = f"""SELECT t.sha256 FROM workflows_apitoken t JOIN auth_user u ON u.id = t.user_id
                   WHERE t.sha256 = ANY(%(tokens)s::text[]) AND u.is_active
                     AND t.workspace_id IS NOT DISTINCT FROM %(workspace)s  -- by no index: a workspace may have many
                     AND '{SCOPE_OF[Right.START].value}' = ANY(t.scopes)
                     AND (t.expires_at IS NULL OR t.expires_at > clock_timestamp())"""  # noqa: S608 - constant text only


@dataclass(frozen=True)
class Way:
    """A way in, and the right that it needs."""

    name: str
    right: Right


class Through(Enum):
    """By what a caller is known."""

    TOKEN = auto()
    SESSION = auto()
    ADMIN = auto()
    LINK = auto()
    SERVER = auto()


@dataclass(frozen=True)
class Caller:
    """Who asks, and by what they are known. `user` is None for a link, a command and the engine."""

    through: Through
    user: AbstractBaseUser | AnonymousUser | None = None
    token: ApiToken | None = None


# A command on the server, the sweep, a worker.
SERVER = Caller(Through.SERVER)
# Whoever holds a link that this installation signed.
LINK = Caller(Through.LINK)


class Forbidden(Exception):
    """The caller may not do this here; the message says what, and what to do."""


# No way in, but what is shown of configs on several.
_SECRETS = Way("secrets in configs", Right.PUBLISH)

# Every way in by its name. Filled as their modules are imported.
WAYS: dict[str, Way] = {}


def way(name: str, right: Right) -> Way:
    """Register a way in. Raises ValueError for a name that is taken."""
    if name in WAYS:
        raise ValueError(f"the way in {name!r} is registered already; give this one another name")
    WAYS[name] = Way(name, right)
    return WAYS[name]


def over_api(user: AbstractBaseUser | AnonymousUser, token: object) -> Caller:
    """The caller of the API: by its token, or by the session of somebody who logged in at the admin."""
    if isinstance(token, ApiToken):
        return Caller(Through.TOKEN, user, token)
    return Caller(Through.SESSION, user)


def at_admin(user: AbstractBaseUser | AnonymousUser) -> Caller:
    """The caller of a page of the admin."""
    return Caller(Through.ADMIN, user)


def workspace_of(caller: Caller) -> Workspace | None:
    """The one workspace that a caller of the API sees, or None."""
    if caller.token is not None:
        return caller.token.workspace
    if caller.through is Through.SESSION and _is_superuser(caller.user):
        return Workspace.objects.filter(name=SESSION_WORKSPACE).first()
    return None


def may(caller: Caller, way: Way, *, workspace: Workspace | UUID | None = None) -> bool:
    """Whether the caller may go this way in this workspace; None stands for any, at the admin and on the server."""
    if caller.through is Through.SERVER:
        return True
    if caller.through is Through.LINK:
        return way.right is Right.DECIDE
    if caller.through is Through.ADMIN:
        return _is_staff(caller.user) and _has(caller.user, _AT_ADMIN.get(way.right, ""))
    if caller.token is not None:
        wanted = workspace.pk if isinstance(workspace, Workspace) else workspace
        return caller.token.workspace_id == wanted and SCOPE_OF[way.right] in caller.token.scopes
    named = isinstance(workspace, Workspace) and workspace.name == SESSION_WORKSPACE
    return named and _is_superuser(caller.user)


def require(caller: Caller, way: Way, *, workspace: Workspace | UUID | None = None) -> None:
    """Raises Forbidden where `may` says no."""
    if may(caller, way, workspace=workspace):
        return
    if caller.token is not None and SCOPE_OF[way.right] not in caller.token.scopes:
        has, needs = ", ".join(caller.token.scopes), SCOPE_OF[way.right].value
        raise Forbidden(
            f"this token may not {way.right.value}: it has the scopes {has}, and this takes the scope {needs}; use a "
            f"token that has it (manage.py create_token NAME --scope {needs})"
        )
    raise Forbidden(f"this account may not {way.right.value}")


def may_give(user: AbstractBaseUser | AnonymousUser, scope: str) -> bool:
    """Whether the user may give a token this scope at the admin: only what Django's permissions let them do, too."""
    needed = _TO_GIVE.get(Scope(scope))
    return _is_superuser(user) or (needed is not None and all(_has_or_changes(user, one) for one in needed))


def sees_secrets(caller: Caller, *, workspace: Workspace | UUID | None = None) -> bool:
    """Whether the caller is shown the secrets in configs: who may edit the workflow could read them anyway."""
    return may(caller, _SECRETS, workspace=workspace)


def may_at_admin(user: AbstractBaseUser | AnonymousUser, verb: str, model: type[Model]) -> bool:
    """Whether the user may `view`, `add`, `change` or `delete` rows. Who may change rows may view them."""
    return has_permission(user, verb, model) or (verb == "view" and has_permission(user, "change", model))


def has_permission(user: AbstractBaseUser | AnonymousUser, verb: str, model: type[Model]) -> bool:
    """Whether the user has exactly this one of Django's permissions for the model."""
    return _has(user, f"{model._meta.app_label}.{verb}_{model._meta.model_name}")


def _has(user: object, permission: str) -> bool:
    return isinstance(user, (PermissionsMixin, AnonymousUser)) and user.has_perm(permission)


def _has_or_changes(user: object, permission: str) -> bool:
    """Whether the user has the permission. Who may change rows may view them."""
    return _has(user, permission) or (".view_" in permission and _has(user, permission.replace(".view_", ".change_")))


def _is_staff(user: object) -> bool:
    return bool(getattr(user, "is_active", False) and getattr(user, "is_staff", False))


def _is_superuser(user: object) -> bool:
    return bool(getattr(user, "is_superuser", False))
