"""How a credential is sent in an HTTP request: as a header, or as a parameter of the query."""

from __future__ import annotations

import base64
from typing import NamedTuple

from actions.credentials import Credential, wrong_kind

KINDS = ("bearer", "basic", "api_key", "oauth2_client_credentials")


class Authorization(NamedTuple):
    """What is added to a request: one header, or one parameter."""

    headers: dict[str, str]
    query: dict[str, str]


def authorization(credential: Credential, *, action: str) -> Authorization:
    """Return what to add to a request that is sent with this credential. Raises Permanent for one of another kind."""
    values = credential.values
    if credential.kind == "bearer":
        return Authorization({"Authorization": f"Bearer {values['token']}"}, {})
    if credential.kind == "oauth2_client_credentials":
        return Authorization({"Authorization": f"Bearer {values['access_token']}"}, {})
    if credential.kind == "basic":
        return Authorization({"Authorization": basic(values["username"], values["password"])}, {})
    if credential.kind == "api_key":
        sent = {values["name"]: values["value"]}
        return Authorization({}, sent) if values["place"] == "query" else Authorization(sent, {})
    raise wrong_kind(credential, wanted=KINDS, action=action)


def basic(username: str, password: str) -> str:
    """Return the value of an Authorization header of scheme Basic (RFC 7617, in UTF-8)."""
    return f"Basic {base64.b64encode(f'{username}:{password}'.encode()).decode()}"
