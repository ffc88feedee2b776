from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from workflows.models import ApiToken, Workspace
from workflows.workspaces import tokens
from workflows.workspaces.authentication import BearerToken


def request(header: str | bytes | None) -> Request:
    headers = {} if header is None else {"HTTP_AUTHORIZATION": header}
    return Request(APIRequestFactory().get("/", **headers))  # type: ignore[arg-type]  # headers are WSGI values


def test_a_token_is_found_by_its_plain_text_which_is_not_stored(workspace: Workspace, owner: User) -> None:
    token, plaintext = tokens.issue(workspace, owner, "ci")
    assert re.fullmatch(r"stw_[A-Za-z0-9_-]{43}", plaintext)
    assert tokens.find(plaintext) == token
    stored = ApiToken.objects.values().get()
    assert plaintext not in map(str, stored.values())
    assert plaintext.startswith(stored["prefix"])


def test_unknown_expired_and_inactive_tokens_are_not_found(workspace: Workspace, owner: User) -> None:
    token, plaintext = tokens.issue(workspace, owner, "ci")
    assert tokens.find("stw_" + "a" * 43) is None
    assert tokens.find("\ud800\x00") is None
    ApiToken.objects.update(expires_at=timezone.now() + timedelta(hours=1))
    assert tokens.find(plaintext) == token
    ApiToken.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    assert tokens.find(plaintext) is None
    ApiToken.objects.update(expires_at=None)
    User.objects.update(is_active=False)
    assert tokens.find(plaintext) is None


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_a_bearer_token_authenticates_its_user(scheme: str, workspace: Workspace, owner: User) -> None:
    token, plaintext = tokens.issue(workspace, owner, "ci")
    assert BearerToken().authenticate(request(f"{scheme} {plaintext}")) == (owner, token)


@pytest.mark.parametrize("header", ["Bearer", "Bearer a b", "Bearer stw_wrong", b"Bearer \xff\xfe"])
def test_a_wrong_bearer_token_is_refused(header: str | bytes, workspace: Workspace) -> None:
    with pytest.raises(AuthenticationFailed):
        BearerToken().authenticate(request(header))


@pytest.mark.parametrize("header", [None, "", "Basic YTpi"])
def test_other_ways_to_authenticate_are_left_to_others(header: str | None) -> None:
    assert BearerToken().authenticate(request(header)) is None
    assert BearerToken().authenticate_header(request(header)) == 'Bearer realm="stepwise"'
