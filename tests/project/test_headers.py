"""What strangers can open runs no script that is not a file of this site, and nobody keeps answers of the API."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.http.response import HttpResponseBase
from django.test import Client
from django.urls import get_resolver

from runs.control import approval_links
from runs.control.approval_links import Link
from tests.flows import begun, published, steps
from tests.project.test_doors import _addresses
from tests.runs.api.test_api_signals import asking
from tests.runs.doors import api, posted

pytestmark = pytest.mark.django_db(transaction=True)

INLINE = re.compile(r"<script(?![^>]*\ssrc=)|\son\w+=|\s(?:x-|style=)|javascript:", re.IGNORECASE)


def policy(answer: HttpResponseBase) -> dict[str, str]:
    """The Content-Security-Policy by directive."""
    parts = answer.headers["Content-Security-Policy"].split(";")
    return {name: rest for name, _, rest in (part.strip().partition(" ") for part in parts)}


def is_strict(answer: HttpResponseBase) -> bool:
    return policy(answer)["script-src"] == "'self'" and "unsafe" not in answer.headers["Content-Security-Policy"]


def test_a_stranger_is_answered_under_the_strict_policy_everywhere() -> None:
    addresses = [*_addresses(get_resolver().url_patterns), "/nowhere", "/api/v1/nowhere", "/admin/nowhere/"]
    addresses += ["/approve/forged", "/static/nowhere.css", "/?q=%00"]
    assert len(addresses) > 40
    answers = {address: Client().get(address) for address in addresses}
    changes = [address for address in addresses if not address.startswith("/admin/")] + ["/admin/login/", "/admin/"]
    answers |= {f"POST {address}": Client(enforce_csrf_checks=True).post(address) for address in changes}
    loose = [address for address, answer in answers.items() if not is_strict(answer)]
    assert loose == []
    assert is_strict(Client().get("/", headers={"host": "evil.example"}))


@pytest.mark.parametrize("staff", [False, True])
def test_only_people_of_the_admin_get_the_policy_that_its_theme_needs(staff: bool) -> None:
    client = Client()
    client.force_login(User.objects.create(username="somebody", is_staff=staff))
    assert is_strict(client.get("/admin/")) is not staff
    assert all(
        is_strict(client.get(path)) for path in ("/admin/nowhere/", "/health", "/approve/forged", "/api/v1/runs")
    )
    assert is_strict(client.post("/admin/logout/"))
    assert is_strict(client.get("/admin/login/"))


def test_the_pages_of_strangers_need_no_script_and_no_inline_style() -> None:
    [run_id] = asking()
    row = steps(run_id)["ok"]
    link = approval_links.path(Link((run_id, row.step, row.item), row.attempt))
    client = Client()
    client.force_login(User.objects.create(username="root", is_staff=True, is_superuser=True))
    pages = {
        "login": Client().get("/admin/login/"),
        "wrong login": Client().post("/admin/login/", {"username": "<b>a", "password": "b"}),
        "empty login": Client().post("/admin/login/", {}),
        "approval": Client().get(link),
        "forged": Client().get("/approve/forged"),
        "logged out": client.post("/admin/logout/"),
    }
    assert {name for name, page in pages.items() if INLINE.search(page.content.decode())} == set()
    assert [name for name, page in pages.items() if not is_strict(page)] == []
    assert "Please enter the correct username" in pages["wrong login"].content.decode()


def test_the_login_page_logs_in_and_goes_on_to_where_one_wanted_to_go() -> None:
    User.objects.create_superuser("root", password="a-password-for-tests")
    client = Client(enforce_csrf_checks=True)
    page = client.get("/admin/login/?next=/admin/runs/run/").content.decode()
    form = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page))
    assert form["next"] == "/admin/runs/run/"
    sent = {**form, "username": "root", "password": "a-password-for-tests"}
    answer = client.post("/admin/login/?next=/admin/runs/run/", sent)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/runs/run/")
    assert client.get("/admin/runs/run/").status_code == 200


def test_answers_of_the_api_are_kept_nowhere() -> None:
    published("name: quick\nsteps: [{id: a, action: noop}]")
    begun(published("name: other\nsteps: [{id: a, action: noop}]"))
    words = {"Authorization": f"Bearer {api().token}"}
    answers = [
        Client().get(path, headers=headers)
        for path in ("/api/v1/runs", "/api/v1/nowhere", "/api/v1/schema", "/metrics")
        for headers in (words, {})
    ]
    answers.append(Client().get("/api/v1/runs", headers={**words, "host": "evil.example"}))
    assert {answer.status_code for answer in answers} >= {200, 400, 401, 404}
    told = [(answer.headers["Cache-Control"], answer.headers["Vary"]) for answer in answers]
    for _ in range(2):  # by Django's view, and by the quick start
        started = posted("/api/v1/workflows/quick/runs", {}, headers=words)
        assert started.status == 201
        told.append((started.headers["cache-control"], started.headers["vary"]))
    assert {kept for kept, _ in told} == {"no-store"}
    assert all({"Authorization", "Cookie"} <= {name.strip() for name in vary.split(",")} for _, vary in told)
