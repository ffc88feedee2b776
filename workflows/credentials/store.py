"""Make, replace, delete and look at credentials. Their values go in, and never come out here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import orjson
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Q, TextField
from django.db.models.functions import Cast, Now

from actions.base import Json
from actions.credentials import MOST_HOST, parse_host
from workflows.credentials import encryption, kinds, rates
from workflows.credentials.encryption import KeyMissing, Owner, Sealed
from workflows.definitions.errors import DefinitionError, Problem
from workflows.models import Credential, Workflow, Workspace

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
MOST_HOSTS = 50
MOST_IN_WORKSPACE = 1000
# So many workflows are named in one message.
MOST_NAMED = 20
_BATCH = 100
_NOWHERE = UUID(int=0)


class InUse(Exception):
    """A credential is not deleted, because workflows refer to it; the message names them."""


@dataclass(frozen=True)
class Wanted:
    """A credential as somebody gives it. `requests` is a rate such as `10/s`, empty for none."""

    name: str
    kind: str
    values: Mapping[str, Json]
    hosts: Sequence[str] = ()
    requests: str = ""


def create(wanted: Wanted, *, workspace: Workspace, by: User | None) -> Credential:
    """Store a new credential. Raises DefinitionError, which never shows a value, and KeyMissing."""
    values = _checked(wanted)
    row = Credential(workspace=workspace, name=wanted.name, kind=wanted.kind, created_by=by)
    _fill(row, wanted, values)
    try:
        with transaction.atomic():
            # The workspace's row, so that two requests at once do not pass the bound together.
            Workspace.objects.select_for_update(no_key=True).get(pk=workspace.pk)
            if Credential.objects.filter(workspace=workspace).count() >= MOST_IN_WORKSPACE:
                raise DefinitionError([Problem("name", f"the workspace has {MOST_IN_WORKSPACE} credentials already")])
            row.save(force_insert=True)
    except IntegrityError:
        message = f"there is a credential {wanted.name!r} already; PUT replaces its values"
        raise DefinitionError([Problem("name", message)]) from None
    row.refresh_from_db()
    return row


def replace(row: Credential, wanted: Wanted) -> Credential:
    """Replace values, hosts and rate of a credential; its kind stays. Raises DefinitionError and KeyMissing."""
    if wanted.kind != row.kind:
        message = f"is {row.kind} and stays so; delete the credential, or make another one"
        raise DefinitionError([Problem("kind", message)])
    values = _checked(wanted)
    _fill(row, wanted, values)
    row.token = row.token_expires_at = row.renewing_until = None
    row.token_key_id = ""
    changed = ["hosts", "fields", "requests", "key_id", "sealed", "token", "token_key_id", "token_expires_at"]
    row.save(update_fields=[*changed, "renewing_until"])
    Credential.objects.filter(pk=row.pk).update(changed_at=Now())
    row.refresh_from_db()
    return row


def delete(row: Credential, *, force: bool = False) -> list[str]:
    """Delete a credential, and return the names of workflows that refer to it.

    Raises InUse, and deletes nothing, if there are any and `force` does not say to do it all the same.
    """
    names = referring(row)
    if names and not force:
        raise InUse(
            f"credential {row.name!r} is used by the workflow{'s' if len(names) > 1 else ''} {told(names)}; their "
            "steps would fail: publish them without it, or delete it with force"
        )
    row.delete()
    return names


def check(wanted: Wanted) -> None:
    """Raise DefinitionError, which never shows a value, for a credential that cannot be stored; and KeyMissing."""
    _checked(wanted)
    encryption.seal(b"", owner=Owner(_NOWHERE, _NOWHERE, wanted.kind))


def find(name: str, *, workspace: Workspace) -> Credential | None:
    """Return the workspace's credential of this name."""
    return None if "\0" in name else Credential.objects.filter(workspace=workspace, name=name).first()


def referring(row: Credential) -> list[str]:
    """Return the names of workflows whose current version refers to it: the first few."""
    found = Q()
    for part in ("steps", "on_failure", "finally"):
        step: dict[str, Json] = {"with": {"credential": row.name}}
        found |= Q(current__definition__contains={part: [step]})
        found |= Q(current__definition__contains={part: [{"compensate": step}]})
    # Expressions stand anywhere in a config; the pattern has nothing but the letters of a name in it.
    named = rf'\msecrets(\.{row.name}\M|\[\\*["\']{row.name}\\*["\']\])'
    live = Workflow.objects.filter(workspace=row.workspace_id, archived_at__isnull=True)
    rows = live.annotate(text=Cast("current__definition", TextField())).filter(found | Q(text__regex=named))
    return list(rows.order_by("name").values_list("name", flat=True)[: MOST_NAMED + 1])


def told(names: Sequence[str]) -> str:
    """Return the names of workflows for a message."""
    more = " and more" if len(names) > MOST_NAMED else ""
    return ", ".join(map(repr, names[:MOST_NAMED])) + more


def locked() -> list[str]:
    """Return `workspace/name` of each credential that no known key opens: the first hundred of them."""
    rows = Credential.objects.exclude(key_id__in=encryption.keys()).order_by("workspace__name", "name")
    return [f"{workspace}/{name}" for workspace, name in rows.values_list("workspace__name", "name")[:_BATCH]]


def rotate() -> Iterator[tuple[int, int]]:
    """Encrypt anew, with the first key, what another known one encrypted; yield (done, all) after each batch.

    It may run beside everything else: a row that somebody changes meanwhile is left as it is.
    """
    first, *others = encryption.keys()
    old = Credential.objects.filter(key_id__in=others) | Credential.objects.filter(token_key_id__in=others)
    left, done = old.count(), 0
    yield 0, left
    last = None
    while rows := list((old if last is None else old.filter(pk__gt=last)).order_by("pk")[:_BATCH]):
        for row in rows:
            _encrypt_anew(row, first=first)
        done, last = done + len(rows), rows[-1].pk
        yield done, max(left, done)


def owner_of(row: Credential, *, part: str = "values") -> Owner:
    """Return what the sealed values of a row are bound to."""
    return Owner(row.workspace_id, row.pk, row.kind, part)


def _encrypt_anew(row: Credential, *, first: str) -> None:
    unchanged = Credential.objects.filter(pk=row.pk, key_id=row.key_id, sealed=row.sealed)
    if row.key_id != first:
        owner = owner_of(row)
        try:
            fresh = encryption.seal(encryption.unseal(Sealed(row.key_id, bytes(row.sealed)), owner=owner), owner=owner)
        except KeyMissing:
            return  # `locked` names it
        unchanged.update(key_id=fresh.key_id, sealed=fresh.data)
    if row.token_key_id not in ("", first):
        # An access token is fetched again.
        Credential.objects.filter(pk=row.pk, token_key_id=row.token_key_id).update(token=None, token_key_id="")


def _checked(wanted: Wanted) -> dict[str, Json]:
    problems: list[Problem] = []
    if not NAME.fullmatch(wanted.name):
        message = "must be 1 to 64 letters, digits, _ and -, and not begin with a digit or -"
        problems.append(Problem("name", message))
    problems += _host_problems(wanted)
    if (fault := rates.fault(wanted.requests)) is not None:
        problems.append(Problem("requests", fault))
    try:
        kind = kinds.find(wanted.kind)
    except ValueError as error:
        raise DefinitionError([*problems, Problem("kind", str(error))]) from None
    if kind.needs_hosts() and not wanted.hosts:
        message = f"is required for kind {kind.name}: where the credential may be sent, as in api.example.com"
        problems.append(Problem("hosts", message))
    values, more = kinds.checked(kind, wanted.values)
    if problems or more:
        raise DefinitionError([*problems, *more])
    return values


def _host_problems(wanted: Wanted) -> Iterator[Problem]:
    if len(wanted.hosts) > MOST_HOSTS:
        yield Problem("hosts", f"has {len(wanted.hosts)} entries; {MOST_HOSTS} are the most")
        return
    for index, host in enumerate(wanted.hosts):
        try:
            parse_host(host)
        except ValueError as error:
            yield Problem(f"hosts[{index}]", f"{host[: min(60, MOST_HOST)]!r} {error}")


def _fill(row: Credential, wanted: Wanted, values: Mapping[str, Json]) -> None:
    sealed = encryption.seal(orjson.dumps(dict(values)), owner=owner_of(row))
    row.key_id, row.sealed = sealed
    row.fields = sorted(values)
    row.hosts = [host.strip().lower() for host in wanted.hosts]
    row.requests = wanted.requests
