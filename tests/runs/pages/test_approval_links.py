"""The page behind a signed link: it asks, it decides once, and a link that is wrong, late or used changes nothing."""

from __future__ import annotations

import re
from datetime import timedelta
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.core import signing
from django.test import Client
from django.utils import timezone

from runs.control import approval_links, retries, stops
from runs.control.approval_links import Link
from runs.domain.actor import Actor
from runs.models import Intervention
from tests.engine import drain, state
from tests.flows import steps
from tests.runs.api.test_api_signals import asking
from tests.runs.control.test_signals import past

pytestmark = pytest.mark.django_db(transaction=True)


def link(run_id: UUID, *, attempt: int = 1) -> str:
    return approval_links.path(Link((run_id, "ok", -1), attempt))


def shown(client: Client, address: str, *, status: int) -> str:
    answer = client.get(address)
    assert answer.status_code == status
    assert "no-store" in answer.headers["Cache-Control"]
    return answer.content.decode()


def press(
    address: str, decision: str = "approve", *, client: Client | None = None, comment: str = ""
) -> tuple[int, str]:
    answer = (client or Client()).post(address, {"decision": decision, "comment": comment})
    return answer.status_code, answer.content.decode()


def test_a_look_at_the_link_asks_and_changes_nothing() -> None:
    [run_id] = asking({"order": "<b>4711</b>"})
    page = shown(Client(), link(run_id), status=200)
    assert "Ship &lt;b&gt;4711&lt;/b&gt;?" in page
    assert page.count("<button") == 2
    assert state(run_id) == "waiting"
    assert not Intervention.objects.exists()


@pytest.mark.parametrize(("decision", "ends"), [("approve", "succeeded"), ("reject", "failed")])
def test_a_press_of_a_button_decides_and_is_written_down(decision: str, ends: str) -> None:
    [run_id] = asking()
    status, page = press(link(run_id), decision, comment="by phone")
    assert (status, {"approve": "Approved", "reject": "Rejected"}[decision] in page) == (200, True)
    drain()
    assert state(run_id) == ends
    [one] = Intervention.objects.all()
    assert (one.verb, one.by, one.why) == (decision, None, "by phone")
    assert one.details == {"steps": ["ok"], "via": "a signed link"}


def test_a_press_needs_the_pages_own_token() -> None:
    [run_id] = asking()
    client = Client(enforce_csrf_checks=True)
    assert press(link(run_id), client=client)[0] == 403
    page = shown(client, link(run_id), status=200)
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert found is not None
    answer = client.post(link(run_id), {"decision": "approve", "csrfmiddlewaretoken": found[1]})
    assert answer.status_code == 200


def test_a_link_that_was_used_says_who_decided() -> None:
    [run_id] = asking()
    press(link(run_id))
    drain()
    assert "approved by a signed link" in shown(Client(), link(run_id), status=409)
    assert press(link(run_id), "reject")[0] == 409
    assert (state(run_id), Intervention.objects.count()) == ("succeeded", 1)


def test_a_link_that_comes_too_late_is_gone() -> None:
    [run_id] = asking()
    stops.cancel([run_id], actor=Actor())
    assert "Too late" in shown(Client(), link(run_id), status=410)
    assert press(link(run_id))[0] == 410
    assert state(run_id) == "cancelled"


def test_a_link_to_an_earlier_attempt_does_not_decide_about_a_later_one() -> None:
    [run_id] = asking(timeout="1h")
    past()
    drain()
    assert state(run_id) == "failed"
    retries.retry([run_id], actor=Actor())
    drain()
    assert press(link(run_id, attempt=1))[0] == 410
    assert (steps(run_id)["ok"].attempt, state(run_id)) == (2, "waiting")
    assert press(link(run_id, attempt=2))[0] == 200
    drain()


def test_a_link_lasts_a_week(monkeypatch: pytest.MonkeyPatch) -> None:
    [run_id] = asking()
    old = (timezone.now() - timedelta(days=8)).timestamp()
    with monkeypatch.context() as patched:
        patched.setattr("django.core.signing.time.time", lambda: old)
        address = link(run_id)
    assert "expired" in shown(Client(), address, status=410)
    assert press(address)[0] == 410
    assert state(run_id) == "waiting"


@pytest.mark.parametrize("how", ["changed", "of another purpose", "nonsense"])
def test_a_forged_link_is_refused(how: str) -> None:
    [run_id] = asking()
    told = [str(run_id), "ok", -1, 1]
    token = {
        "changed": "x" + link(run_id).split("/")[-1],
        "of another purpose": signing.dumps(told, salt="something.else"),
        "nonsense": "nonsense",
    }[how]
    assert "not valid" in shown(Client(), f"/approve/{token}", status=403)
    assert press(f"/approve/{token}")[0] == 403
    assert state(run_id) == "waiting"


def test_where_approvers_are_named_the_link_alone_is_not_enough() -> None:
    [run_id] = asking(approvers=["ada"])
    page = shown(Client(), link(run_id), status=403)
    assert "Log in" in page
    assert "/admin/login/?next=%2Fapprove" in page
    assert press(link(run_id))[0] == 403
    bob, ada = Client(), Client()
    bob.force_login(User.objects.create(username="bob"))
    ada.force_login(User.objects.create(username="ada"))
    assert "Not yours" in shown(bob, link(run_id), status=403)
    assert press(link(run_id), client=bob)[0] == 403
    assert state(run_id) == "waiting"
    assert press(link(run_id), client=ada)[0] == 200
    drain()
    [one] = Intervention.objects.all()
    assert one.by is not None
    assert (state(run_id), one.by.get_username()) == ("succeeded", "ada")


def test_a_press_of_no_button_asks_again() -> None:
    [run_id] = asking()
    assert press(link(run_id), "maybe")[0] == 400
    assert press(link(run_id), comment="x" * 2001)[0] == 400
    assert Client().delete(link(run_id)).status_code == 405
    assert state(run_id) == "waiting"
