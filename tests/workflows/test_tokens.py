from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection
from django.db.migrations.executor import MigrationExecutor
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from workflows.models import ApiToken, Scope, Workspace
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


def test_a_new_token_has_all_scopes_but_admin_and_ends_after_a_year(workspace: Workspace, owner: User) -> None:
    token, _ = tokens.issue(workspace, owner, "ci")
    assert set(token.scopes) == set(Scope.values) - {"admin"}
    assert token.expires_at is not None
    assert timedelta(days=364) < token.expires_at - timezone.now() <= timedelta(days=365)
    asked, _ = tokens.issue(workspace, owner, "other", scopes={"read"}, days=None)
    assert (asked.scopes, asked.expires_at) == (["read"], None)


@pytest.mark.parametrize("scopes", [[], ["root"], ["read", "root"], ["READ"]])
def test_the_database_refuses_scopes_that_are_not_known(scopes: list[str], workspace: Workspace, owner: User) -> None:
    token, _ = tokens.issue(workspace, owner, "ci")
    with pytest.raises(IntegrityError, match="token_scopes_are_known"):
        ApiToken.objects.filter(pk=token.pk).update(scopes=scopes)


def test_the_use_of_a_token_is_written_at_most_once_a_minute(workspace: Workspace, owner: User) -> None:
    token, plaintext = tokens.issue(workspace, owner, "ci")
    BearerToken().authenticate(request(f"Bearer {plaintext}"))
    first = ApiToken.objects.get().last_used_at
    assert first is not None
    with CaptureQueriesContext(connection) as seen:
        BearerToken().authenticate(request(f"Bearer {plaintext}"))
    assert len(seen) == 1
    # Another process, which does not know that it was written just now.
    tokens._noted.clear()
    BearerToken().authenticate(request(f"Bearer {plaintext}"))
    assert ApiToken.objects.get().last_used_at == first
    long_ago = timezone.now() - timedelta(minutes=2)
    ApiToken.objects.update(last_used_at=long_ago)
    tokens._noted.clear()
    BearerToken().authenticate(request(f"Bearer {plaintext}"))
    again = ApiToken.objects.get(pk=token.pk).last_used_at
    assert again is not None
    assert again > long_ago + timedelta(minutes=1)


def test_a_token_that_is_refused_is_not_written_down_as_used(workspace: Workspace, owner: User) -> None:
    _, plaintext = tokens.issue(workspace, owner, "ci")
    ApiToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    with pytest.raises(AuthenticationFailed):
        BearerToken().authenticate(request(f"Bearer {plaintext}"))
    assert ApiToken.objects.get().last_used_at is None


@pytest.mark.django_db(transaction=True)
def test_tokens_that_were_there_keep_every_scope_but_admin_and_do_not_begin_to_end() -> None:
    owner, workspace = User.objects.create(username="old"), Workspace.objects.create(name="old")
    try:
        MigrationExecutor(connection).migrate([("workflows", "0007_keep_days")])
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO workflows_apitoken (workspace_id, user_id, name, prefix, sha256)"
                " VALUES (%s, %s, 'old', 'stw_', %s)",
                [workspace.pk, owner.pk, tokens.digest("stw_old")],
            )
    finally:
        latest = MigrationExecutor(connection)
        latest.migrate(latest.loader.graph.leaf_nodes("workflows"))
    token = tokens.find("stw_old")
    assert token is not None
    assert (set(token.scopes), token.expires_at) == ({"read", "start", "operate", "publish"}, None)
