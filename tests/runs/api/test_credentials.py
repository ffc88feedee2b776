"""Credentials over the API and in the admin: what goes in never comes out, and who may do what."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from tests.flows import owner, published, workspace
from tests.runs import doors
from tests.workflows.credentials.test_store import CANARY, VALUES, made
from workflows.models import Credential
from workflows.workspaces import tokens

pytestmark = pytest.mark.django_db(transaction=True)
NEW = {"name": "crm", "kind": "bearer", "values": {"token": CANARY}, "hosts": ["api.example.com"], "requests": "10/s"}
USES = "name: {0}\nsteps: [{{id: a, action: http_request, with: {{url: 'https://a.test/', credential: {1}}}}}]"


def asked(method: str, path: str, body: Any = None, *, scopes: tuple[str, ...] = ("read", "admin")) -> tuple[int, Any]:
    """Status and body of the answer, which never has the canary."""
    secret = tokens.issue(workspace(), owner(), "test", scopes=scopes)[1]
    client = Client(headers={"authorization": f"Bearer {secret}"})
    told = client.generic(method, f"/api/v1/{path}", json.dumps(body), content_type="application/json")
    assert CANARY not in told.content.decode()
    return told.status_code, told.json()


def test_a_credential_is_made_listed_replaced_and_deleted_and_never_read_back() -> None:
    status, told = asked("POST", "credentials", NEW)
    assert status == 201
    shown = {key: told[key] for key in ("name", "kind", "fields", "hosts", "requests", "uses", "used_by")}
    assert shown == {
        "name": "crm", "kind": "bearer", "fields": ["token"], "hosts": ["api.example.com"], "requests": "10/s",
        "uses": 0, "used_by": [],
    }  # fmt: skip
    assert set(told) == {*shown, "id", "created_at", "changed_at", "last_used_at"}
    published(USES.format("sync", "crm"))
    assert asked("GET", "credentials")[1]["results"] == [{k: v for k, v in told.items() if k != "used_by"}]
    assert asked("GET", "credentials?kind=basic&limit=5")[1]["results"] == []
    assert asked("GET", "credentials/crm")[1]["used_by"] == ["sync"]
    before = bytes(Credential.objects.get().sealed)
    status, told = asked("PUT", "credentials/crm", {"values": {"token": f"{CANARY}-2"}, "requests": ""})
    assert (status, told["hosts"], told["requests"]) == (200, ["api.example.com"], "")
    assert bytes(Credential.objects.get().sealed) != before
    status, told = asked("DELETE", "credentials/crm")
    assert status == 409
    assert "credential 'crm' is used by the workflow 'sync'" in told["detail"]
    assert asked("DELETE", "credentials/crm?force=true") == (200, {"name": "crm", "used_by": ["sync"]})
    assert asked("GET", "credentials/crm")[0] == asked("PUT", "credentials/crm", {"values": {}})[0] == 404


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({**NEW, "values": CANARY}, "values"),
        ({**NEW, "values": [CANARY]}, "values"),
        ({**NEW, "values": None}, "values"),
        ({**NEW, "values": {"token": 5, "more": CANARY}}, "values.token"),
        ({**NEW, "values": {"token": f"{CANARY}\n"}}, "values.token"),
        ({**NEW, "hosts": "api.example.com"}, "hosts"),
        ({**NEW, "name": ""}, "name"),
        ({**NEW, "kind": "x" * 41}, "kind"),
        ({**NEW, "requests": "0/s"}, "requests"),
        ({**NEW, "more": 1}, "more"),
        ({"name": "crm"}, "kind"),
    ],
)
def test_what_is_wrong_is_told_with_its_place_and_without_the_values(body: Any, path: str) -> None:
    status, told = asked("POST", "credentials", body)
    assert status == 400
    assert path in [error["path"] for error in told["errors"]]
    assert not Credential.objects.exists()


def test_each_method_takes_its_scope_and_sees_its_own_workspace_only(settings: Settings) -> None:
    made()
    store = made("theirs")
    Credential.objects.filter(pk=store.pk).update(workspace=workspace("other"))
    for method, path in ("POST", "credentials"), ("PUT", "credentials/crm"), ("DELETE", "credentials/crm"):
        status, told = asked(method, path, NEW, scopes=("read", "start", "operate", "publish", "use"))
        assert (status, "this takes the scope admin" in told["detail"]) == (403, True)
    assert asked("GET", "credentials", scopes=("admin",))[0] == 403
    assert [one["name"] for one in asked("GET", "credentials")[1]["results"]] == ["crm"]
    assert [asked(method, "credentials/theirs", {"values": {}})[0] for method in ("GET", "PUT", "DELETE")] == [404] * 3
    settings.CREDENTIAL_KEYS = []
    status, told = asked("POST", "credentials", {**NEW, "name": "more"})
    assert (status, "set CREDENTIAL_KEYS" in told["detail"]) == (503, True)


def test_the_admin_makes_and_replaces_one_and_shows_its_values_on_no_page() -> None:
    browser, add = doors.admin(), reverse("admin:workflows_credential_add")
    form = {
        "workspace": str(workspace().pk), "name": "crm", "kind": "bearer", "where": "api.example.com\n*.example.org",
        "requests": "", "values": json.dumps({"tokem": CANARY}),
    }  # fmt: skip
    pages = [browser.get(add), browser.post(add, form)]
    assert "is no value of kind bearer" in pages[-1].content.decode()
    pages.append(browser.post(add, {**form, "values": f"{{'token': {CANARY}}}"}))
    assert "Must be a JSON object" in pages[-1].content.decode()
    pages.append(browser.post(add, {**form, "values": json.dumps(VALUES["bearer"])}, follow=True))
    row = Credential.objects.get()
    assert (row.hosts, row.created_by_id) == (
        ["api.example.com", "*.example.org"],
        User.objects.get(is_superuser=True).pk,
    )
    change = reverse("admin:workflows_credential_change", args=[row.pk])
    published(USES.format("sync", "crm"))
    pages += [browser.get(change), browser.get(reverse("admin:workflows_credential_changelist"))]
    assert "sync" in pages[-2].content.decode()
    unchanged = {"where": "evil.test", "requests": "", "values": ""}
    pages.append(browser.post(change, unchanged))
    assert pages[-1].status_code == 200
    assert Credential.objects.get().hosts == row.hosts
    sent = {"where": "b.example.com", "requests": "5/m", "values": json.dumps({"token": f"{CANARY}-2"})}
    pages.append(browser.post(change, sent, follow=True))
    fresh = Credential.objects.get()
    assert (fresh.hosts, fresh.requests, fresh.sealed != row.sealed) == (["b.example.com"], "5/m", True)
    pages.append(
        browser.post(reverse("admin:workflows_credential_delete", args=[row.pk]), {"post": "yes"}, follow=True)
    )
    assert "was used by &#x27;sync&#x27;" in pages[-1].content.decode()
    assert not [page for page in pages if CANARY in page.content.decode()]


def test_whoever_may_only_look_at_the_admin_gets_no_form() -> None:
    row = made()
    user = User.objects.create(username="looks", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_credential"))
    browser = Client()
    browser.force_login(user)
    change = reverse("admin:workflows_credential_change", args=[row.pk])
    assert browser.get(change).status_code == 200
    assert "id_values" not in browser.get(change).content.decode()
    assert browser.post(change, {"values": "{}"}).status_code == 403
