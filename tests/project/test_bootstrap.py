"""`bootstrap` keeps the token of credentials.env usable, and makes nothing a second time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from project import env
from project.env import lookup
from project.management.commands import bootstrap
from project.stack import credentials
from tests.flows import workspace
from workflows.models import ApiToken
from workflows.workspaces import tokens

pytestmark = pytest.mark.django_db


@pytest.fixture
def home(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The home of an installation that has an admin, whose password was changed since."""
    monkeypatch.setenv("STEPWISE_HOME", str(tmp_path))
    monkeypatch.delenv("STEPWISE_TOKEN", raising=False)
    monkeypatch.setenv("STEPWISE_ADMIN_PASSWORD", "the-password-of-then")
    settings.STEPWISE_HOME = tmp_path
    User.objects.create_superuser("admin", password="the-password-of-now")
    env.forget()
    yield tmp_path
    env.forget()


def given(home: Path, *, days: int | None) -> ApiToken:
    """A token that ends so many days from now, in credentials.env."""
    token, plaintext = tokens.issue(workspace(), User.objects.get(), "make up", scopes={"read", "start"}, days=days)
    credentials.update(home, {"STEPWISE_TOKEN": plaintext})
    return token


def renew() -> str:
    """What a start does about its token, and the token of credentials.env after it."""
    token = bootstrap._our_token()
    assert token is not None
    bootstrap.renew_token(token, user=bootstrap.ensure_admin())
    return str(lookup("STEPWISE_TOKEN"))


@pytest.mark.parametrize("days", [-400, -1, 0, 13])
def test_a_token_that_has_ended_or_ends_soon_is_replaced_by_one_like_it(home: Path, days: int) -> None:
    old = given(home, days=days)
    new = tokens.find(renew())
    assert new is not None
    assert new != old
    assert (new.workspace, new.scopes, new.name) == (old.workspace, old.scopes, old.name)
    assert tokens.find(renew()) == new


@pytest.mark.parametrize("days", [15, 365, None])
def test_a_token_with_time_left_is_kept(home: Path, days: int | None) -> None:
    old = given(home, days=days)
    assert tokens.find(renew()) == old
    assert ApiToken.objects.count() == 1


def test_a_token_that_has_ended_makes_no_second_admin_where_the_password_was_changed(home: Path) -> None:
    given(home, days=-1)
    renew()
    assert [*User.objects.values_list("username", flat=True)] == ["admin"]


def test_a_token_that_the_operator_set_is_left_alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given(home, days=-1)
    monkeypatch.setenv("STEPWISE_TOKEN", tokens.issue(workspace(), User.objects.get(), "own", days=1)[1])
    before = credentials.read(home)
    renew()
    assert credentials.read(home) == before
