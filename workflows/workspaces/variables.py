"""Set, delete and check the variables of a workspace."""

from __future__ import annotations

import re

from django.db import transaction
from django.db.models.functions import Now

from actions import payload
from actions.base import Json
from actions.payload import PayloadError
from workflows.models import Variable, Workspace

# Variables of one workspace, and characters of one value as JSON: a step that reads variables loads them.
MOST, MOST_CHARACTERS = 200, 4_096
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_TYPES: dict[str, tuple[type, ...]] = {
    Variable.Kind.TEXT: (str,),
    Variable.Kind.NUMBER: (int, float),
    Variable.Kind.BOOLEAN: (bool,),
    Variable.Kind.JSON: (list, dict),
}


class NotAVariable(ValueError):
    """A name, a kind or a value that no variable may have; `field` says which of them."""

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message)
        self.field = field


def kind_of(value: Json) -> str:
    """Return the kind of a value. Raises NotAVariable for null."""
    for kind, types in _TYPES.items():
        if isinstance(value, types) and isinstance(value, bool) is (kind == Variable.Kind.BOOLEAN):
            return kind
    raise NotAVariable("must be a text, a number, true, false, a list or an object, not null", field="value")


def check(name: str, value: Json, *, kind: str | None = None) -> str:
    """Return the variable's kind. Raises NotAVariable for what it may not be; a value is never converted."""
    if not _NAME.fullmatch(name):
        rule = "must be a letter or underscore, then letters, digits and underscores, at most 64 in all"
        raise NotAVariable(f"{rule}, so that an expression can read vars.name; {name[:70]!r} is not", field="name")
    found = kind_of(value)
    if kind is not None and kind != found:
        known = ", ".join(Variable.Kind.values)
        if kind not in Variable.Kind.values:
            raise NotAVariable(f"must be one of {known}, not {kind[:20]!r}", field="kind")
        raise NotAVariable(f"is of the kind {found}, and the kind was to be {kind}; change one of them", field="value")
    try:
        payload.check(value)
    except PayloadError as error:
        raise NotAVariable(f"{error.path} {error}".strip(), field="value") from None
    if (size := len(payload.dumps(value))) > MOST_CHARACTERS:
        raise NotAVariable(f"has {size:,} characters as JSON; {MOST_CHARACTERS:,} are the limit", field="value")
    return found


def room_for(workspace: Workspace, name: str) -> None:
    """Raise NotAVariable if the workspace has as many variables as it may have, and not this one."""
    mine = Variable.objects.filter(workspace=workspace)
    if mine.count() >= MOST and not mine.filter(name=name).exists():
        raise NotAVariable(f"the workspace has {MOST} variables, which is the limit; delete some", field="name")


def put(workspace: Workspace, name: str, value: Json, *, kind: str | None = None) -> tuple[Variable, bool]:
    """Set a variable; return it, and whether it is new. Raises NotAVariable."""
    found = check(name, value, kind=kind)
    with transaction.atomic():
        # So that two new ones at once are counted.
        Workspace.objects.select_for_update(no_key=True).get(pk=workspace.pk)
        room_for(workspace, name)
        fields = {"kind": found, "value": value, "updated_at": Now()}
        row, created = Variable.objects.update_or_create(workspace=workspace, name=name, defaults=fields)
    row.refresh_from_db()
    return row, created


def delete(workspace: Workspace, name: str) -> bool:
    """Delete a variable; return whether there was one. Steps that read it fail from then on."""
    return Variable.objects.filter(workspace=workspace, name=name).delete()[0] > 0
