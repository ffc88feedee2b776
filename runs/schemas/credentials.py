"""The JSON of credentials: requests, which bring values, and responses, which never have any."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from runs.schemas.base import Body, Shape
from workflows.models import Credential


class NewCredential(Body):
    """A credential. `values` are those of its kind, and are never read back; `hosts` are where it may be sent.

    `requests` is the rate at which it may be used, such as `10/s`; empty for none.
    """

    name: str = Field(max_length=64)
    kind: str = Field(max_length=40)
    # Of any type here: a message about a wrong type would show the value.
    values: Any = Field(json_schema_extra={"type": "object", "writeOnly": True})
    hosts: list[str] = Field(default_factory=list, max_length=50)
    requests: str = Field(default="", max_length=20)


class NewValues(Body):
    """Values in place of those that a credential has. `hosts` and `requests` stay as they are if they are left out."""

    values: Any = Field(json_schema_extra={"type": "object", "writeOnly": True})
    hosts: list[str] | None = Field(default=None, max_length=50)
    requests: str | None = Field(default=None, max_length=20)


class CredentialShape(Shape):
    """A credential without its values: `fields` are their names. `last_used_at` may be ten seconds late."""

    id: UUID
    name: str
    kind: str
    fields: list[str]
    hosts: list[str]
    requests: str
    created_at: datetime
    changed_at: datetime
    last_used_at: datetime | None
    uses: int


class CredentialDetail(CredentialShape):
    """One credential, with the names of the workflows that refer to it: the first few."""

    used_by: list[str]


class CredentialDeleted(Shape):
    """What was deleted, and the workflows that still refer to it: their steps fail from now on."""

    name: str
    used_by: list[str]


def credential(row: Credential) -> CredentialShape:
    """Return a credential's fields."""
    return CredentialShape(**_fields(row))


def credential_detail(row: Credential, *, used_by: list[str]) -> CredentialDetail:
    """Return a credential's fields, and who refers to it."""
    return CredentialDetail(**_fields(row), used_by=used_by)


def _fields(row: Credential) -> dict[str, Any]:
    return {
        "id": row.pk,
        "name": row.name,
        "kind": row.kind,
        "fields": row.fields,
        "hosts": row.hosts,
        "requests": row.requests,
        "created_at": row.created_at,
        "changed_at": row.changed_at,
        "last_used_at": row.last_used_at,
        "uses": row.uses,
    }
