"""Open a credential for an attempt. What was opened is kept in memory for two seconds, so that steps cost no statement.

A step that begins more than two seconds after a change uses the new values; a credential that was deleted is gone as
late.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

import orjson

from actions import redaction
from actions.base import Permanent
from actions.credentials import Credential, parse_host
from workflows.credentials import encryption, kinds, oauth2, references, store
from workflows.credentials.encryption import KeyMissing, Sealed
from workflows.models import Credential as Row

KEPT_SECONDS = 2.0
_MOST_KEPT = 1000
# What is handed to a caller may be used for the length of a request; so an access token is renewed before it ends.
KIND = "credential"


class _Kept:
    """The credentials that this process has open, by workspace and name, and since when."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.open: dict[tuple[UUID, str], tuple[float, Credential]] = {}


_kept = _Kept()


def forget() -> None:
    """Forget what is open: a forked child begins with nothing, and tests want no rest of others."""
    _kept.__init__()  # type: ignore[misc]  # a lock of the parent may be held


os.register_at_fork(after_in_child=forget)


def kept(workspace: UUID, name: str) -> Credential | None:
    """Return the credential if this process opened it less than two seconds ago."""
    found = _kept.open.get((workspace, name))
    return found[1] if found is not None and time.monotonic() - found[0] < KEPT_SECONDS else None


def opened(workspace: UUID, name: str) -> Credential:
    """Open a credential of the workspace. Raises Permanent, or Retryable where an access token cannot be had now.

    The caller has a database connection; while a provider is asked for an access token, it is not used.
    """
    row = store.find(name, workspace=workspace)
    if row is None:
        raise Permanent(f"there is no credential {name!r} in this workspace; make it, or name another", kind=KIND)
    try:
        data = encryption.unseal(Sealed(row.key_id, bytes(row.sealed)), owner=store.owner_of(row))
    except KeyMissing as error:
        raise Permanent(f"credential {name!r} cannot be opened: {error}", kind=KIND) from None
    values = _resolved(row, orjson.loads(data))
    secrets = kinds.secrets_of(row.kind, values)
    hosts = kinds.servers_of(row.kind, values) + tuple(map(parse_host, row.hosts))
    rejected: Callable[[], bool] = _keeps_nothing
    if row.kind == oauth2.CLIENT_CREDENTIALS:
        token = oauth2.access_token(row, values)
        values, secrets = {**values, "access_token": token}, secrets | {token}
        rejected = partial(_rejected, row.pk, row.workspace_id, name)
    found = Credential(
        id=str(row.pk),
        name=name,
        kind=row.kind,
        values={key: value if isinstance(value, str) else str(value) for key, value in values.items()},
        hosts=hosts,
        secrets=secrets,
        rejected=rejected,
    )
    redaction.remember(name, found.secrets)
    with _kept.lock:
        if len(_kept.open) >= _MOST_KEPT:
            _kept.open.clear()
        _kept.open[workspace, name] = (time.monotonic(), found)
    return found


def _resolved(row: Row, values: dict[str, Any]) -> dict[str, Any]:
    """Return the values with what their references lead to, checked as values are. Raises Permanent."""
    named = {key: value for key, value in values.items() if references.is_reference(value)}
    if not named:
        return values
    found = dict(values)
    for key, value in named.items():
        try:
            found[key] = references.resolved(value, workspace=row.workspace.name)
        except references.Unreadable as error:
            raise Permanent(f"credential {row.name!r}: values.{key} {error}", kind=KIND) from None
    checked, problems = kinds.checked(kinds.find(row.kind), found)
    if problems:
        raise Permanent(f"credential {row.name!r}: {'; '.join(map(str, problems))}", kind=KIND)
    return checked


def _keeps_nothing() -> bool:
    return False


def _rejected(key: UUID, workspace: UUID, name: str) -> bool:
    _kept.open.pop((workspace, name), None)
    Row.objects.filter(pk=key).update(token=None, token_key_id="", token_expires_at=None)
    return True
