"""Authenticate API requests by `Authorization: Bearer <token>`."""

from __future__ import annotations

from django.contrib.auth.models import User
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from workflows.models import ApiToken
from workflows.workspaces import tokens

_SCHEME = b"bearer"


class BearerToken(BaseAuthentication):
    """`request.user` is the token's user, `request.auth` the token, which names the workspace."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        """None where no bearer token is given; a wrong one is refused with 401."""
        words = get_authorization_header(request).split()
        if not words or words[0].lower() != _SCHEME:
            return None
        if len(words) != 2:
            raise AuthenticationFailed("write the header as: Authorization: Bearer <token>")
        token = tokens.find(words[1].decode("latin-1"))
        if token is None:
            raise AuthenticationFailed("this token is unknown, has expired, or its user is not active")
        tokens.note_use(token.sha256)
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        """What makes the answer a 401: how to authenticate."""
        return 'Bearer realm="stepwise"'
