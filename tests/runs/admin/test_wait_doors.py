"""The admin and the commands: see what waits for what, approve, reject, send signals."""

from __future__ import annotations

from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from runs.models import Intervention, Signal, StepRun
from tests.engine import drain, state
from tests.flows import begun, published, steps, workspace
from tests.runs.api.test_api_signals import asking
from tests.runs.control.test_signals import output, paid, waits
from tests.runs.doors import admin

pytestmark = pytest.mark.django_db(transaction=True)


def row_of(run_id: UUID) -> StepRun:
    return steps(run_id)["ok"]


def verb(name: str, run_id: UUID) -> str:
    return reverse(f"admin:runs_approval_{name}", args=[row_of(run_id).pk])


def text(client: Client, address: str) -> str:
    answer = client.get(address, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def run_page(run_id: UUID) -> str:
    return reverse("admin:runs_run_change", args=[run_id])


def command(*words: Any, status: int = 0, **options: Any) -> str:
    """What the command prints, on either stream; its exit status is checked."""
    out = StringIO()
    left = 0
    try:
        call_command(*map(str, words), stdout=out, stderr=out, **options)
    except SystemExit as leaving:
        left = int(leaving.code or 0)
    assert left == status, out.getvalue()
    return out.getvalue()


def test_the_runs_page_says_what_it_waits_for_and_offers_to_decide() -> None:
    client, [run_id] = admin(), asking({"order": "<b>1</b>"}, timeout="1d")
    page = text(client, run_page(run_id))
    assert "Waits for approval: Ship &lt;b&gt;1&lt;/b&gt;?; since 20" in page
    assert verb("approve", run_id) in page
    assert verb("reject", run_id) in page
    assert "/approve/" in page
    [other] = waits(key="7")
    assert "Waits for signal paid with key 7; since" in text(client, run_page(other))


@pytest.mark.parametrize(("name", "ends"), [("approve", "succeeded"), ("reject", "failed")])
def test_a_decision_asks_for_a_comment_and_is_told_on_the_page(name: str, ends: str) -> None:
    client, [run_id] = admin(), asking()
    address = verb(name, run_id)
    assert "Ship 4711?" in text(client, address)
    assert state(run_id) == "waiting"
    answer = client.post(address, {"why": "called them"})
    assert answer.headers["Location"] == run_page(run_id)
    drain()
    assert state(run_id) == ends
    page = text(client, run_page(run_id))
    assert f"<strong>{name}</strong> by root" in page
    assert "called them" in page
    again = text(client, address)
    assert "is decided already" in again
    assert Intervention.objects.count() == 1


def test_those_who_are_not_named_are_offered_nothing_and_refused() -> None:
    client, [run_id] = admin(), asking(approvers=["ada"])
    page = text(client, run_page(run_id))
    assert "to be decided by ada" in page
    assert verb("approve", run_id) not in page
    assert "/approve/" not in page
    assert "may not decide" in text(client, verb("approve", run_id))
    assert client.post(verb("approve", run_id), {"why": ""}).status_code == 302
    assert state(run_id) == "waiting"


def test_who_may_only_look_at_steps_sees_the_list_and_decides_nothing() -> None:
    [run_id] = asking()
    user = User.objects.create(username="staff", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_steprun"))
    client = Client()
    client.force_login(user)
    assert "Ship 4711?" in text(client, reverse("admin:runs_approval_changelist"))
    assert client.get(verb("approve", run_id)).status_code == 403


def test_who_may_change_steps_but_not_look_at_them_does_not_see_what_waits() -> None:
    asking()
    user = User.objects.create(username="staff", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["change_steprun", "change_approval"]))
    client = Client()
    client.force_login(user)
    assert client.get(reverse("admin:runs_approval_changelist")).status_code == 403


def test_the_list_finds_what_waits_and_decides_many_at_once() -> None:
    ids = asking(*[{"order": n} for n in range(3)])
    [named] = asking(approvers=["ada"])
    waits()
    client, address = admin(), reverse("admin:runs_approval_changelist")
    page = text(client, address)
    assert [f"Ship {n}?" in page for n in range(3)] == [True] * 3
    assert "ada" in page
    chosen = [row_of(run_id).pk for run_id in [*ids, named]]
    body = {"action": "approve_chosen", "_selected_action": chosen, "confirmed": "1", "why": "all good"}
    said = client.post(address, body, follow=True).content.decode()
    assert "1 more could not be" in said
    drain()
    assert {state(run_id) for run_id in ids} == {"succeeded"}
    assert state(named) == "waiting"
    assert [one.why for one in Intervention.objects.all()] == ["all good"] * 3
    [open_] = asking()
    assert verb("reject", open_) in text(client, reverse("admin:runs_approval_change", args=[row_of(open_).pk]))


def test_the_list_costs_the_same_however_many_wait(django_assert_max_num_queries: Any) -> None:
    asking(*[{"order": n} for n in range(20)])
    client = admin()
    with django_assert_max_num_queries(10):
        text(client, reverse("admin:runs_approval_changelist"))


def test_a_command_sends_a_signal_to_runs() -> None:
    one, other = waits({}, {})
    assert f"{one}  took the signal" in command("send_signal", "paid", one, payload='{"n": 1}')
    drain()
    assert output(one)["payload"] == {"n": 1}
    said = command("send_signal", "paid", one, other)
    assert "the run is succeeded" in said
    assert f"{other}  took the signal" in said
    assert "no step of it waits for signal" in command("send_signal", "payd", begun(published(paid()), {})[0], status=1)
    drain()


def test_a_command_sends_a_signal_by_key() -> None:
    assert "kept for 7 days" in command("send_signal", "paid", key="7", workspace=workspace().name)
    [run_id] = begun(published(paid(key="7")), {})
    drain()
    assert state(run_id) == "succeeded"
    [other] = waits(key="8")
    assert f"{other}  took the signal" in command("send_signal", "paid", key="8")
    drain()


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["paid"], {}),
        (["paid", "x"], {}),
        ([":approval"], {"key": "7"}),
        (["paid"], {"key": ""}),
        (["paid"], {"key": "7", "payload": "{"}),
        (["paid"], {"key": "7", "idempotency_key": "\n"}),
    ],
)
def test_a_signal_that_makes_no_sense_is_refused_by_the_command(words: list[str], options: dict[str, str]) -> None:
    assert command("send_signal", *words, status=2, **options)
    assert not Signal.objects.exists()


def test_commands_decide_without_asking_who_may() -> None:
    yes, no, done = *asking({"order": 1}, {"order": 2}, approvers=["ada"]), waits()[0]
    assert "approved" in command("approve_step", "ok", yes, why="nobody is there")
    assert "rejected" in command("reject_step", "ok", no, why="nobody is there")
    drain()
    assert [state(yes), state(no)] == ["succeeded", "failed"]
    assert output(yes, "ok")["by"] == "a command"
    assert "is decided already: approve by a command" in command("approve_step", "ok", yes, status=1, why="x")
    assert "has not begun" in command("approve_step", "ok", done, status=1, why="x")
    assert "asks nobody" in command("approve_step", "pay", done, status=1, why="x")
    assert "approve by a command" in command("show_run", yes)


def test_the_runs_page_sends_the_signal_that_a_step_waits_for() -> None:
    client, [run_id] = admin(), waits()
    address = reverse("admin:runs_run_signal", args=[run_id])
    assert f"{address}?name=paid" in text(client, run_page(run_id))
    assert 'value="paid"' in text(client, f"{address}?name=paid")
    for body, said in (
        ({"name": "payd"}, "did you mean &#x27;paid&#x27;?"),
        ({"name": ":approval"}, "is no signal name"),
        ({"name": "paid", "payload": "{"}, "payload"),
    ):
        assert said in client.post(address, body).content.decode()
    assert not Signal.objects.exists()
    said = client.post(address, {"name": "paid", "payload": '{"n": 1}'}, follow=True).content.decode()
    assert "The run took the signal paid" in said
    drain()
    assert (state(run_id), output(run_id)["payload"]) == ("succeeded", {"n": 1})
    assert Signal.objects.get().by == User.objects.get(username="root")
    assert "only a run that has not ended takes signals" in text(client, address)


def test_who_may_only_look_at_runs_sends_no_signal() -> None:
    [run_id] = waits()
    user = User.objects.create(username="staff", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_run"))
    client = Client()
    client.force_login(user)
    address = reverse("admin:runs_run_signal", args=[run_id])
    assert address not in text(client, run_page(run_id))
    assert client.post(address, {"name": "paid"}).status_code == 403


def test_commands_decide_about_an_item_and_tell_on_whose_behalf() -> None:
    text = """
name: each
steps:
  - id: ok
    for_each: {items: [1, 2]}
    action: approval
    with: {message: "{{ item }}?"}
"""
    [run_id] = begun(published(text))
    drain()
    User.objects.create(username="ada")
    assert "has not begun" in command("approve_step", "ok", run_id, item=2, status=1, why="x")
    assert "approved" in command("approve_step", "ok", run_id, item=0, why="x", by="ada")
    assert "rejected" in command("reject_step", "ok", run_id, item=1, why="x")
    drain()
    decided = StepRun.objects.filter(run_id=run_id, item__gte=0).order_by("item").values_list("output__by", flat=True)
    assert decided[0] == "ada"
    assert "no user 'bob'" in command("approve_step", "ok", run_id, item=0, status=2, why="x", by="bob")
    assert [one.by.username if one.by else None for one in Intervention.objects.order_by("id")] == ["ada", None]


def test_a_command_sends_a_signal_on_somebodys_behalf() -> None:
    [run_id] = waits()
    User.objects.create(username="ada")
    command("send_signal", "paid", run_id, by="ada")
    assert Signal.objects.get().by == User.objects.get(username="ada")
    drain()
