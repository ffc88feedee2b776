"""/api/v1/workspace and /api/v1/tokens: what a token with the scope admin opens."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from tests.flows import owner, published, workspace
from tests.runs.doors import Api
from workflows.models import ApiToken, Scope, Workflow, Workspace
from workflows.workspaces import tokens

pytestmark = pytest.mark.django_db(transaction=True)


def holding(*scopes: str, of: str = "default", user: User | None = None) -> Api:
    return Api(tokens.issue(workspace(of), user or owner(), "asks", scopes=scopes)[1])


def faults(answer: tuple[int, Any]) -> list[tuple[str, str]]:
    assert answer[0] == 400, answer
    return [(one["path"], one["message"]) for one in answer[1]["errors"]]


def test_the_settings_of_the_workspace_are_shown_and_what_is_given_is_changed() -> None:
    published("name: alert\nsteps: [{id: a, action: default}]")
    client = holding("admin")
    Workspace.objects.filter(pk=workspace().pk).update(keep_days=0, runs_per_minute=7)
    status, told = client.get("workspace")
    assert status == 200
    assert (told["name"], told["keep_days"], told["runs_per_minute"]) == ("default", None, 7)
    status, told = client.ask("PATCH", "workspace", {"keep_days": 30, "concurrent_runs": 5, "alert_workflow": "alert"})
    alert = Workflow.objects.get(name="alert")
    shown = {"concurrent_runs": 5, "runs_per_minute": 7, "keep_days": 30, "alert_workflow": "alert"}
    assert status == 200
    assert {key: told[key] for key in shown} == shown
    assert told["alert_workflow_id"] == str(alert.pk)
    assert client.get("workspace")[1] == told
    nothing = dict.fromkeys(shown)
    status, told = client.ask("PATCH", "workspace", {**nothing, "runs_per_minute": 7})
    assert (status, {key: told[key] for key in shown}) == (200, {**nothing, "runs_per_minute": 7})
    assert client.ask("PATCH", "workspace", {})[1] == told
    workspace("other")
    assert not Workspace.objects.exclude(name="default").filter(runs_per_minute=7).exists()


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"keep_days": 0}, "keep_days"),
        ({"keep_days": True}, "keep_days"),
        ({"keep_days": "30d"}, "keep_days"),
        ({"concurrent_runs": 0}, "concurrent_runs"),
        ({"runs_per_minute": 2**31}, "runs_per_minute"),
        ({"limit": 3}, "limit"),
        ({"alert_workflow": "alret"}, "alert_workflow"),
        ({"alert_workflow": "theirs"}, "alert_workflow"),
        ({"alert_workflow": "archived"}, "alert_workflow"),
    ],
)
def test_a_setting_that_cannot_be_changes_nothing_and_says_why(given: dict[str, Any], path: str) -> None:
    for name in ("alert", "archived", "theirs"):
        flow = published(f"name: {name}\nsteps: [{{id: a, action: default}}]").workflow
        if name != "alert":
            changed = {"archived_at": timezone.now()} if name == "archived" else {"workspace": workspace("other")}
            Workflow.objects.filter(pk=flow.pk).update(**changed)
    [(where, said)] = faults(holding("admin").ask("PATCH", "workspace", {"concurrent_runs": 9, **given}))
    assert where == path
    assert given != {"alert_workflow": "alret"} or "'alert'" in said
    assert workspace().concurrent_runs is None


def test_one_s_own_tokens_are_listed_made_and_deleted_and_nobody_else_s() -> None:
    other = User.objects.create(username="other")
    theirs = tokens.issue(workspace(), other, "theirs")[0]
    elsewhere = tokens.issue(workspace("elsewhere"), owner(), "elsewhere")[0]
    client = holding("admin", "read", "start")
    status, made = client.post("tokens", {"name": "robot"})
    assert (status, made["scopes"]) == (201, ["read", "start"]), "those of the token that asks, but not admin"
    stored = ApiToken.objects.get(pk=made["id"])
    assert (stored.user, stored.workspace, stored.sha256) == (owner(), workspace(), tokens.digest(made["token"]))
    assert stored.expires_at is not None
    assert abs(stored.expires_at - timezone.now() - timedelta(days=365)) < timedelta(minutes=5)
    status, told = client.get("tokens")
    assert (status, [one["name"] for one in told["results"]]) == (200, ["robot", "asks"])
    assert not {"token", "sha256"} & set(told["results"][0])
    assert Api(made["token"]).get("runs")[0] == 200
    assert Api(made["token"]).get("tokens")[0] == 403
    for key in (theirs.pk, elsewhere.pk, "x", "9" * 30, "-1"):
        assert client.ask("DELETE", f"tokens/{key}")[0] == 404
    assert client.ask("DELETE", f"tokens/{made['id']}") == (204, None)
    assert Api(made["token"]).get("runs")[0] == 401
    assert set(ApiToken.objects.values_list("name", flat=True)) == {"asks", "theirs", "elsewhere"}


def test_a_token_gives_no_scope_that_it_does_not_have() -> None:
    client = holding("admin", "read")
    asked = {"name": "more", "scopes": ["read", "publish", "raed", "start"]}
    found = faults(client.post("tokens", asked))
    assert [path for path, _ in found] == ["scopes[1]", "scopes[2]", "scopes[3]"]
    assert "'read'" in found[1][1]
    assert faults(holding("admin").post("tokens", {"name": "none"}))[0][0] == "scopes"
    status, made = client.post("tokens", {"name": "same", "scopes": ["admin", "read", "read"], "days": None})
    assert (status, made["scopes"], made["expires_at"]) == (201, ["admin", "read"], None)
    wrongs: tuple[dict[str, Any], ...] = (
        {"days": 0},
        {"days": 40_000},
        {"name": ""},
        {"scopes": []},
        {"user": "admin"},
    )
    for wrong in wrongs:
        assert len(faults(client.post("tokens", {"name": "x", **wrong}))) == 1


def test_a_superuser_s_session_gives_any_scope_and_tokens_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    workspace()
    client = Client()
    client.force_login(User.objects.create(username="root", is_superuser=True, is_staff=True))
    sent = {"name": "all", "scopes": Scope.values}
    made = client.post("/api/v1/tokens", sent, content_type="application/json")
    assert (made.status_code, made.json()["scopes"]) == (201, sorted(Scope.values))
    monkeypatch.setattr("runs.api.resources.tokens.MOST_TOKENS", 1)
    refused = client.post("/api/v1/tokens", sent, content_type="application/json")
    assert (refused.status_code, ApiToken.objects.count()) == (409, 1)
