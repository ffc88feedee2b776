"""API tokens: issued once in plain text, kept and found by their sha256."""

from __future__ import annotations

import hashlib
import secrets

from django.contrib.auth.models import User
from django.db.models import Q
from django.db.models.functions import Now

from workflows.models import ApiToken, Workspace

PREFIX = "stw_"
_SHOWN = 8


def issue(workspace: Workspace, user: User, name: str) -> tuple[ApiToken, str]:
    """A new token and its plain text (`stw_` and 43 characters), which is stored nowhere."""
    token = ApiToken(workspace=workspace, user=user, name=name)
    plaintext = give_secret(token)
    token.save()
    return token, plaintext


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
