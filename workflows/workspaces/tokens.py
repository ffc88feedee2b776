"""API tokens: issued once in plain text, kept and found by their sha256; when they end and when they were used."""

from __future__ import annotations

import hashlib
import logging
import math
import secrets
import time
from collections.abc import Collection
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import DatabaseError, InterfaceError, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from workflows.models import ApiToken, Workspace
from workflows.models.workspaces import new_scopes

log = logging.getLogger(__name__)

PREFIX = "stw_"
# A new token ends after so many days, unless another time is asked for.
LIFETIME_DAYS = 365
# So long before its end a token is named in the log and on the page of tokens.
WARNING_DAYS = 14
# `last used` is at most this old while a token is in use.
NOTE_SECONDS = 60.0
_SHOWN = 8
_MOST_NOTED = 10_000

# When this process last wrote down the use of a token, by its sha256 and the process's monotonic clock.
_noted: dict[str, float] = {}


def issue(
    workspace: Workspace,
    user: User,
    name: str,
    *,
    scopes: Collection[str] | None = None,
    days: int | None = LIFETIME_DAYS,
) -> tuple[ApiToken, str]:
    """A new token and its plain text (`stw_` and 43 characters), which is stored nowhere.

    `scopes`: values of Scope; None: all but `admin`. `days`: after how many it ends; None: never.
    """
    token = ApiToken(workspace=workspace, user=user, name=name, scopes=sorted(scopes or new_scopes()))
    token.expires_at = None if days is None else end_after(days)
    plaintext = give_secret(token)
    token.save()
    return token, plaintext


def end_after(days: int = LIFETIME_DAYS) -> datetime:
    """When a token ends that is made now, to be valid for so many days."""
    return timezone.now() + timedelta(days=days)


def give_secret(token: ApiToken) -> str:
    """Put a new secret's hash and first characters into an unsaved token, and return the secret."""
    plaintext = PREFIX + secrets.token_urlsafe(32)
    token.sha256 = digest(plaintext)
    token.prefix = plaintext[:_SHOWN]
    return plaintext


def digest(plaintext: str) -> str:
    """What a token is kept and found by."""
    return hashlib.sha256(plaintext.encode("utf-8", "surrogatepass")).hexdigest()


def find(plaintext: str) -> ApiToken | None:
    """The token, if it exists, has not expired, and its user is active.

    Always one hash and one index look-up: nothing in its time tells how near a guess came.
    """
    return (
        ApiToken.objects.select_related("user", "workspace")
        .filter(Q(expires_at=None) | Q(expires_at__gt=Now()), sha256=digest(plaintext), user__is_active=True)
        .first()
    )


def find_ended_too(plaintext: str) -> ApiToken | None:
    """The token, if it exists at all: to tell one's own that has ended from one that never was. It opens nothing."""
    return ApiToken.objects.select_related("workspace").filter(sha256=digest(plaintext)).first()


def note_use(sha256: str) -> None:
    """Write down that the token was used now, at most once a minute. Waits for no lock, and never fails a request."""
    now = time.monotonic()
    if now - _noted.get(sha256, -math.inf) < NOTE_SECONDS:
        return
    if len(_noted) >= _MOST_NOTED:
        _noted.clear()
    _noted[sha256] = now
    long_ago = Q(last_used_at=None) | Q(last_used_at__lt=Now() - timedelta(seconds=NOTE_SECONDS))
    try:
        with transaction.atomic():
            # Whoever holds the row changes the token, or writes down its use.
            free = ApiToken.objects.filter(long_ago, sha256=sha256).select_for_update(skip_locked=True, no_key=True)
            ApiToken.objects.filter(pk__in=free.values("pk")).update(last_used_at=Now())
    except (DatabaseError, InterfaceError) as error:
        log.warning("token_use_not_written", extra={"error": str(error)})


def ending_soon(*, now: datetime | None = None) -> QuerySet[ApiToken]:
    """The tokens that end within WARNING_DAYS, the next one first. Those that have ended are not among them."""
    begin = timezone.now() if now is None else now
    soon = ApiToken.objects.filter(expires_at__gt=begin, expires_at__lte=begin + timedelta(days=WARNING_DAYS))
    return soon.select_related("workspace", "user").order_by("expires_at", "pk")
