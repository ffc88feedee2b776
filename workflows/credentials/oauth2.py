"""Access tokens of OAuth2's client credentials (RFC 6749, 4.4): fetched once for all workers, and kept sealed.

Who fetches the next one writes so into the row, in one guarded statement under the row's lock. The lock itself is not
held while the provider is asked: a process that froze then would keep every other from the row. The others wait until
the token is there, or the time of the one that fetches is over.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

import orjson
from django.db.models import F, Q
from django.db.models.functions import Now

from actions import network
from actions.base import ActionError, Permanent, Retryable
from actions.network import authorization
from workflows.credentials import encryption
from workflows.credentials.encryption import KeyMissing, Owner, Sealed
from workflows.models import Credential as Row

CLIENT_CREDENTIALS = "oauth2_client_credentials"
# A token is renewed so long before its end, or when a fifth of its time is left, whichever is later.
RENEWED_BEFORE_SECONDS = 60.0
_FETCH_SECONDS = 15.0
# Who fetches has so long; then another one does.
_LEASE_SECONDS = 20.0
_USUAL_SECONDS = 300.0
_LONGEST_SECONDS = 86_400.0
_LOOK_SECONDS = 0.1
_SHORTEST, _LONGEST = 8, 16 * 1024


def access_token(row: Row, values: Mapping[str, Any]) -> str:
    """Return an access token that is valid now. Raises Retryable if the provider does not answer, Permanent if it
    refuses the client.
    """
    until = time.monotonic() + _LEASE_SECONDS
    while (found := _known(row)) is None:
        if _takes(row):
            return _fetched(row, values)
        if time.monotonic() > until:
            raise Retryable(f"no access token of credential {row.name!r} came in time", kind="timeout")
        time.sleep(_LOOK_SECONDS)
    return found


def _known(row: Row) -> str | None:
    """Return the row's token if it is valid now."""
    valid = Row.objects.filter(pk=row.pk, token__isnull=False, token_expires_at__gt=Now())
    found = valid.values_list("token", "token_key_id").first()
    if found is None:
        return None
    try:
        return encryption.unseal(Sealed(found[1], bytes(found[0] or b"")), owner=_owner(row)).decode()
    except KeyMissing:
        # Its key was taken away: another token is fetched.
        Row.objects.filter(pk=row.pk, token_key_id=found[1]).update(token=None, token_expires_at=None)
        return None


def _takes(row: Row) -> bool:
    """Whether this process is the one that fetches the next token: none is there, also now that the row is locked."""
    free = Q(renewing_until=None) | Q(renewing_until__lt=Now())
    none = Q(token=None) | Q(token_expires_at=None) | Q(token_expires_at__lte=Now())
    until = Now() + timedelta(seconds=_LEASE_SECONDS)
    return bool(Row.objects.filter(free, none, pk=row.pk).update(renewing_until=until))


def _fetched(row: Row, values: Mapping[str, Any]) -> str:
    try:
        token, seconds = _fetch(row.name, values)
    except ActionError:
        Row.objects.filter(pk=row.pk).update(renewing_until=None)
        raise
    sealed = encryption.seal(token.encode(), owner=_owner(row))
    lasts = max(seconds * 0.8, seconds - RENEWED_BEFORE_SECONDS)
    # Values that were replaced meanwhile have dropped the old token, and are not given one of the old client.
    Row.objects.filter(pk=row.pk, sealed=row.sealed).update(
        token=sealed.data,
        token_key_id=sealed.key_id,
        token_expires_at=Now() + timedelta(seconds=lasts),
        renewing_until=None,
        changed_at=F("changed_at"),
    )
    return token


def _fetch(name: str, values: Mapping[str, Any]) -> tuple[str, float]:
    """Return a new token, and for how many seconds it is valid."""
    form = {"grant_type": "client_credentials"}
    form |= {key: str(values[key]) for key in ("scope", "audience") if values.get(key)}
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    client, secret = str(values["client_id"]), str(values["client_secret"])
    if values.get("authentication") == "body":
        form |= {"client_id": client, "client_secret": secret}
    else:
        # RFC 6749, 2.3.1: both are form-encoded first.
        headers["Authorization"] = authorization.basic(quote(client, safe=""), quote(secret, safe=""))
    call = network.Call("POST", str(values["token_url"]), headers, content=urlencode(form).encode(), follow=False)
    with network.sending(""):
        answer = network.request(call, timeout_seconds=_FETCH_SECONDS)
    where = f"the token_url of credential {name!r}"
    if answer.status == 429 or answer.status >= 500:
        raise Retryable(f"{where} answered {answer.status} {answer.reason}".rstrip(), kind=f"http:{answer.status}")
    try:
        told = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        told = None
    told = told if isinstance(told, dict) else {}
    if answer.status != 200:
        # The words that RFC 6749 defines; a description may hold what was sent.
        word = told.get("error")
        said = f": {word}" if isinstance(word, str) and word.replace("_", "").isalpha() and len(word) <= 40 else ""
        raise Permanent(f"{where} answered {answer.status}{said}; check client_id and client_secret", kind="credential")
    token, seconds = told.get("access_token"), told.get("expires_in", _USUAL_SECONDS)
    if not isinstance(token, str) or not _SHORTEST <= len(token) <= _LONGEST or not token.isascii():
        raise Permanent(f"{where} gave no access_token of {_SHORTEST} to {_LONGEST:,} characters", kind="credential")
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool) or seconds <= 0:
        seconds = _USUAL_SECONDS
    return token, min(float(seconds), _LONGEST_SECONDS)


def _owner(row: Row) -> Owner:
    return Owner(row.workspace_id, row.pk, row.kind, "token")
