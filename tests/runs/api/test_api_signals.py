"""/api/v1: send signals, list what waits for approval, approve and reject."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from runs.models import Intervention, Signal, StepRun
from tests.engine import drain, state
from tests.flows import begun, published, steps, the_run
from tests.runs.control.test_signals import paid, waits
from tests.runs.doors import Api, api, first_error

pytestmark = pytest.mark.django_db(transaction=True)


def asks(**config: Any) -> str:
    with_ = {"message": "Ship {{ input.order }}?", **config}
    return f"name: asks\nsteps: [{{id: ok, action: approval, with: {with_}}}, {{id: go, action: default}}]"


def asking(*inputs: Any, **config: Any) -> list[UUID]:
    ids = begun(published(asks(**config)), *(inputs or ({"order": "4711"},)))
    drain()
    return ids


def decide(run_id: UUID, verb: str, *, step: str = "ok", client: Api | None = None, **body: Any) -> tuple[int, Any]:
    return (client or api()).post(f"runs/{run_id}/steps/{step}/{verb}", body)


def test_a_signal_is_sent_to_a_run_and_again_under_its_key_it_is_the_first_one() -> None:
    [run_id] = waits()
    body = {"name": "paid", "payload": {"amount": 3}, "idempotency_key": "event-7"}
    status, first = api().post(f"runs/{run_id}/signals", body)
    assert (status, first["run"], first["step"], first["name"]) == (201, str(run_id), "pay", "paid")
    drain()
    status, again = api().post(f"runs/{run_id}/signals", body)
    assert (status, again) == (200, first)
    _, run = api().get(f"runs/{run_id}")
    assert run["state"] == "succeeded"
    assert run["output"]["got"]["payload"] == {"amount": 3}


def test_a_signal_that_nobody_waits_for_is_a_conflict_that_says_why() -> None:
    [run_id] = waits()
    path = f"runs/{run_id}/signals"
    status, problem = api().post(path, {"name": "payd"})
    assert (status, problem["state"]) == (409, "waiting")
    assert "no step of it waits for signal 'payd'; did you mean 'paid'?" in problem["detail"]
    [early] = begun(published(paid()), {})
    assert api().post(f"runs/{early}/signals", {"name": "paid"})[0] == 201
    status, problem = api().post(f"runs/{early}/signals", {"name": "paid"})
    assert (status, "is kept for every step" in problem["detail"]) == (409, True)
    assert api().post(path, {"name": "paid"})[0] == 201
    drain()
    status, problem = api().post(path, {"name": "paid"})
    assert (status, problem["state"]) == (409, "succeeded")
    assert "only a run that has not ended takes signals" in problem["detail"]
    assert Signal.objects.count() == 2


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "name"),
        ({"name": ":approval"}, "name"),
        ({"name": "a b"}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "paid", "idempotency_key": ""}, "idempotency_key"),
        ({"name": "paid", "payloads": 1}, "payloads"),
    ],
)
def test_a_signal_that_makes_no_sense_is_refused(body: dict[str, Any], path: str) -> None:
    [run_id] = waits()
    status, problem = api().post(f"runs/{run_id}/signals", body)
    assert (status, first_error(problem)[0]) == (400, path)
    assert not Signal.objects.exists()


def test_a_signal_by_key_wakes_who_waits_and_is_kept_where_nobody_does() -> None:
    body = {"name": "paid", "key": 7, "payload": "x", "idempotency_key": "event-7"}
    status, told = api().post("signals", body)
    assert (status, told["signals"][0]["run"], told["signals"][0]["step"]) == (201, None, None)
    assert told["signals"][0]["expires_at"] is not None
    [run_id] = begun(published(paid(key="{{ input.n }}")), {"n": 7})
    drain()
    assert state(run_id) == "succeeded"
    status, told = api().post("signals", body)
    assert (status, told["signals"][0]["run"]) == (200, str(run_id))


def test_nobody_reaches_a_run_of_another_workspace() -> None:
    [run_id] = asking()
    stranger = api("stranger")
    assert stranger.post(f"runs/{run_id}/signals", {"name": "paid"})[0] == 404
    assert decide(run_id, "approve", client=stranger)[0] == 404
    assert stranger.get("approvals")[1]["results"] == []
    assert decide(uuid7(), "approve")[0] == 404


def test_an_approval_is_listed_decided_and_written_down() -> None:
    [run_id] = asking(timeout="1d")
    [listed] = api().get("approvals")[1]["results"]
    assert (listed["run"], listed["step"], listed["workflow"]) == (str(run_id), "ok", "asks")
    assert (listed["message"], listed["approvers"]) == ("Ship 4711?", [])
    assert listed["since"] < listed["until"]
    step = api().get(f"runs/{run_id}")[1]["steps"][0]
    assert (step["state"], step["waiting_for"]["kind"], step["waiting_for"]["message"]) == (
        "waiting", "approval", "Ship 4711?",
    )  # fmt: skip
    assert step["approve_url"].startswith("http://testserver/approve/")
    status, told = decide(run_id, "approve", comment="go on")
    assert (status, told["approved"], told["state"]) == (200, True, "running")
    drain()
    output: Any = steps(run_id)["ok"].output
    assert (output["approved"], output["by"], output["comment"]) == (True, "owner", "go on")
    [one] = api().get(f"runs/{run_id}")[1]["interventions"]
    assert (one["verb"], one["by"], one["why"], one["details"]) == ("approve", "owner", "go on", {"steps": ["ok"]})
    assert api().get("approvals")[1]["results"] == []


def test_a_rejection_fails_the_step_unless_it_says_that_the_run_goes_on() -> None:
    [run_id] = asking()
    assert decide(run_id, "reject", comment="too dear")[1]["state"] == "failed"
    error = the_run(run_id).error
    assert error is not None
    assert (error["kind"], error["message"]) == ("rejected", "step 'ok' was rejected by owner: too dear")
    [other] = asking(on_reject="continue")
    decide(other, "reject")
    drain()
    output: Any = steps(other)["ok"].output
    assert (state(other), output["approved"]) == ("succeeded", False)


def test_the_second_decision_is_a_conflict_that_names_the_first() -> None:
    [run_id] = asking()
    decide(run_id, "approve")
    status, problem = decide(run_id, "reject")
    assert (status, problem["state"]) == (409, "running")
    assert "is decided already: approve by owner" in problem["detail"]
    assert Intervention.objects.count() == 1


@pytest.mark.parametrize(("step", "said"), [("go", "has not begun"), ("nope", "has not begun")])
def test_a_step_that_asks_nobody_cannot_be_decided(step: str, said: str) -> None:
    [run_id] = asking()
    status, problem = decide(run_id, "approve", step=step)
    assert (status, problem["state"]) == (409, "waiting")
    assert said in problem["detail"]
    decide(run_id, "approve")
    drain()
    assert "asks nobody" in decide(run_id, "approve", step="go")[1]["detail"]


def test_only_those_who_are_named_may_decide() -> None:
    [run_id] = asking(approvers=["ada"])
    status, problem = decide(run_id, "approve")
    assert status == 403
    assert "those who may are ada" in problem["detail"]
    assert state(run_id) == "waiting"
    [other] = asking(approvers=["ada", "owner"])
    assert decide(other, "approve")[0] == 200
    drain()


@pytest.mark.parametrize(("expiry", "ends"), [("approve", "succeeded"), ("reject", "failed"), ("fail", "failed")])
def test_nobody_decides_in_time(expiry: str, ends: str) -> None:
    [run_id] = asking(until="2020-01-01T00:00:00Z", on_expiry=expiry)
    assert state(run_id) == ends
    assert steps(run_id)["ok"].state == ends
    error = the_run(run_id).error
    assert (error or {}).get("kind") == {"approve": None, "reject": "rejected", "fail": "timeout"}[expiry]
    assert decide(run_id, "approve")[0] == 409


def test_the_list_of_approvals_has_pages_of_a_fixed_cost(django_assert_max_num_queries: Any) -> None:
    ids = asking(*[{"order": n} for n in range(5)])
    client = api()
    with django_assert_max_num_queries(6):
        _, first = client.get("approvals", limit=3)
    _, second = client.get(first["next"].split("/api/v1/")[1])
    found = [row["run"] for row in first["results"] + second["results"]]
    assert sorted(found) == sorted(map(str, ids))
    assert second["next"] is None
    assert client.get("approvals", cursor="AAAA")[0] == 400
    assert client.get("approvals", run=str(ids[0]))[1]["results"][0]["run"] == str(ids[0])
    assert StepRun.objects.filter(state="waiting").count() == 5
