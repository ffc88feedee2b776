"""/api/v1: cancel, retry, replay and discard, one by one and in bulk."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from django.test import Client
from uuid_utils.compat import uuid7

from runs.control.preconditions import AT_ONCE
from runs.models import DeadLetter, Intervention, Run
from tests.engine import drain
from tests.flows import begun, published, states, steps, the_run
from tests.runs.doors import Api, api, first_error

pytestmark = pytest.mark.django_db(transaction=True)

FAILS = """
name: fails
inputs: {type: object}
steps:
  - {id: a, action: default}
  - {id: b, action: transform, with: {select: [email]}}
  - {id: c, action: default}
"""
GOOD, BAD = {"email": "a@b.c"}, {"mail": "a@b.c"}


def failed(*, number: int = 1, labels: dict[str, str] | None = None) -> list[UUID]:
    ids = begun(published(FAILS), *[BAD] * number, labels=labels or {})
    drain()
    return ids


def letter_of(run_id: UUID) -> UUID:
    return DeadLetter.objects.get(run_id=run_id, state="open").pk


def refused(answer: tuple[int, Any], *, state: str) -> str:
    """The sentence of a 409 that names this state, with nothing written down."""
    status, problem = answer
    assert (status, problem["status"], problem["state"]) == (409, 409, state), problem
    assert not Intervention.objects.exists()
    return str(problem["detail"])


def test_a_cancel_ends_the_run_and_says_who_did_it_and_why() -> None:
    [run_id] = begun(published(FAILS), GOOD)
    assert api().post(f"runs/{run_id}/cancel", {"why": "wrong customer"}) == (
        200,
        {"id": str(run_id), "state": "cancelled"},
    )
    _, run = api().get(f"runs/{run_id}")
    assert run["replay_of"] is None
    [told] = run["interventions"]
    assert (told["verb"], told["by"], told["why"], told["details"]) == ("cancel", "owner", "wrong customer", {})
    assert told["at"].endswith("Z")


def test_a_cancel_needs_no_body_and_again_it_is_a_conflict() -> None:
    [run_id] = begun(published(FAILS), GOOD)
    client = api()
    bare = Client(headers={"Authorization": f"Bearer {client.token}"})
    answer = bare.generic("POST", f"/api/v1/runs/{run_id}/cancel")
    assert answer.status_code == 200
    status, problem = client.post(f"runs/{run_id}/cancel", {})
    assert (status, problem["state"]) == (409, "cancelled")
    assert Intervention.objects.count() == 1


def test_a_finished_run_is_neither_cancelled_nor_retried() -> None:
    [run_id] = begun(published(FAILS), GOOD)
    drain()
    assert "only a run that has not ended" in refused(api().post(f"runs/{run_id}/cancel", {}), state="succeeded")
    assert "replay" in refused(api().post(f"runs/{run_id}/retry", {}), state="succeeded")
    assert the_run(run_id).state == "succeeded"


def test_a_run_that_has_not_ended_is_neither_retried_nor_replayed() -> None:
    [run_id] = begun(published(FAILS), GOOD)
    assert "wait" in refused(api().post(f"runs/{run_id}/retry", {}), state="running")
    refused(api().post(f"runs/{run_id}/replay", {}), state="running")
    assert Run.objects.count() == 1


def test_a_retry_with_another_input_lets_the_run_go_on() -> None:
    [run_id] = failed()
    answer = api().post(f"runs/{run_id}/retry", {"why": "typo", "inputs": {"b": GOOD}})
    assert answer == (200, {"id": str(run_id), "state": "running", "notes": []})
    drain()
    _, run = api().get(f"runs/{run_id}")
    assert run["state"] == "succeeded"
    assert run["interventions"][0]["details"] == {"steps": ["b"], "edited": ["b"]}


@pytest.mark.parametrize("step", ["a", "c", "nope"])
def test_an_input_for_a_step_that_did_not_fail_is_a_conflict_and_changes_nothing(step: str) -> None:
    [run_id] = failed()
    before = states(run_id)
    said = refused(api().post(f"runs/{run_id}/retry", {"inputs": {"b": GOOD, step: {}}}), state="failed")
    assert f"{step!r} did not fail" in said
    assert "b" in said.split("failed is")[1]
    assert states(run_id) == before
    assert (steps(run_id)["b"].input, DeadLetter.objects.get().state) == (None, "open")


def test_a_replay_makes_a_new_run_from_the_step_and_leaves_the_old_one() -> None:
    [run_id] = failed()
    status, new = api().post(f"runs/{run_id}/replay", {"step": "b", "input": GOOD, "why": "corrected"})
    assert (status, new["state"]) == (201, "queued")
    drain()
    _, run = api().get(f"runs/{new['id']}")
    assert (run["state"], run["replay_of"], run["input"]) == ("succeeded", str(run_id), GOOD)
    _, old = api().get(f"runs/{run_id}")
    assert (old["state"], old["interventions"][0]["details"]["run"]) == ("failed", new["id"])


def test_a_replay_takes_the_latest_version_where_it_is_told_to() -> None:
    [run_id] = failed()
    published(FAILS.replace("select: [email]", "select: [mail]"))
    versions = {}
    for version in ("same", "latest"):
        status, new = api().post(f"runs/{run_id}/replay", {"version": version})
        assert status == 201
        drain()
        _, run = api().get(f"runs/{new['id']}")
        versions[version] = (run["version"], run["state"])
    assert versions == {"same": (1, "failed"), "latest": (2, "succeeded")}


def test_a_replay_from_an_unknown_step_is_a_conflict_that_names_the_steps() -> None:
    [run_id] = failed()
    said = refused(api().post(f"runs/{run_id}/replay", {"step": "nope"}), state="failed")
    assert "a, b, c" in said
    assert Run.objects.count() == 1


@pytest.mark.parametrize(
    ("path", "body", "where"),
    [
        ("replay", {"input": []}, "input"),
        ("replay", {"version": "newest"}, "version"),
        ("replay", {"steps": "a"}, "steps"),
        ("retry", {"inputs": []}, "inputs"),
        ("cancel", {"why": 7}, "why"),
        ("cancel", {"why": "x" * 2001}, "why"),
        ("cancel", [], ""),
    ],
)
def test_a_body_that_is_wrong_is_refused_at_its_path(path: str, body: Any, where: str) -> None:
    [run_id] = failed()
    status, problem = api().post(f"runs/{run_id}/{path}", body)
    assert status == 400, problem
    assert first_error(problem)[0] == where
    assert (Run.objects.count(), Intervention.objects.count()) == (1, 0)


def test_a_dead_letter_is_retried_with_another_input() -> None:
    [run_id] = failed()
    dead_letter = letter_of(run_id)
    status, told = api().post(f"dead-letters/{dead_letter}/retry", {"input": GOOD, "why": "typo"})
    assert status == 200
    assert told == {"id": str(dead_letter), "state": "retried", "run": str(run_id), "run_state": "running", "notes": []}
    drain()
    assert (the_run(run_id).state, steps(run_id)["b"].output) == ("succeeded", GOOD)
    status, problem = api().post(f"dead-letters/{dead_letter}/retry", {})
    assert (status, problem["state"], problem["run_state"]) == (409, "retried", "succeeded")


def test_a_dead_letter_of_a_run_that_has_not_failed_yet_cannot_be_retried() -> None:
    flow = """
name: half
steps:
  - {id: a, action: default}
  - {id: nap, needs: [a], action: wait, with: {for: 1h}}
  - {id: bad, needs: [a], action: fail, with: {message: no}}
"""
    [run_id] = begun(published(flow))
    drain()
    dead_letter = letter_of(run_id)
    answer = api().post(f"dead-letters/{dead_letter}/retry", {})
    assert "wait until the run has failed" in refused(answer, state="open")
    assert answer[1]["run_state"] == "waiting"
    assert api().post(f"runs/{run_id}/cancel", {})[0] == 200
    _, told = api().post("dead-letters/retry", {"ids": [str(dead_letter)]})
    assert (told["won"], told["lost"]) == ([], [{"id": str(dead_letter), "state": "open"}])
    assert states(run_id)["bad"] == "failed"


def test_a_dead_letter_is_discarded_with_a_reason_only() -> None:
    [run_id] = failed()
    dead_letter = letter_of(run_id)
    for body in ({}, {"why": ""}, {"why": "  "}):
        assert api().post(f"dead-letters/{dead_letter}/discard", body)[0] == 400
    status, told = api().post(f"dead-letters/{dead_letter}/discard", {"why": "customer gone"})
    assert (status, told["state"], told["run_state"]) == (200, "discarded", "failed")
    status, problem = api().post(f"dead-letters/{dead_letter}/discard", {"why": "again"})
    assert (status, problem["state"]) == (409, "discarded")
    assert DeadLetter.objects.get().resolution == "customer gone"


@pytest.mark.parametrize("verb", ["cancel", "retry", "replay"])
def test_a_run_of_another_workspace_is_not_there_for_any_verb(verb: str) -> None:
    [run_id] = failed()
    for client, key in ((api("theirs"), run_id), (api(), uuid7()), (api(), "no-id")):
        assert client.post(f"runs/{key}/{verb}", {})[0] == 404
    assert not Intervention.objects.exists()


@pytest.mark.parametrize("verb", ["retry", "discard"])
def test_a_dead_letter_of_another_workspace_is_not_there_for_any_verb(verb: str) -> None:
    dead_letter = letter_of(failed()[0])
    for client, key in ((api("theirs"), dead_letter), (api(), uuid7()), (api(), "no-id")):
        assert client.post(f"dead-letters/{key}/{verb}", {"why": "x"})[0] == 404
    assert not Intervention.objects.exists()


def test_a_bulk_cancel_tells_which_it_won_and_how_the_others_stand() -> None:
    [bad] = failed()
    first, second = begun(published(FAILS), GOOD, GOOD)
    nobody = uuid7()
    status, told = api().post("runs/cancel", {"ids": [str(i) for i in (first, bad, nobody, second, first)], "why": "x"})
    assert status == 200
    assert told["won"] == [str(first), str(second)]
    assert told["lost"] == [{"id": str(bad), "state": "failed"}, {"id": str(nobody), "state": "unknown"}]
    assert told["more"] == 0
    assert Intervention.objects.filter(verb="cancel", why="x").count() == 2


def test_bulk_verbs_do_not_reach_another_workspace() -> None:
    [run_id] = failed()
    dead_letter = letter_of(run_id)
    theirs = api("theirs")
    for path, key in (
        ("runs/retry", run_id),
        ("dead-letters/retry", dead_letter),
        ("dead-letters/discard", dead_letter),
    ):
        _, told = theirs.post(path, {"ids": [str(key)], "why": "x"})
        assert (told["won"], told["lost"]) == ([], [{"id": str(key), "state": "unknown"}])
        _, told = theirs.post(path, {"filter": {"workflow": "fails"}, "why": "x"})
        assert told == {"won": [], "lost": [], "more": 0, "notes": []}
    assert not Intervention.objects.exists()


def test_a_bulk_verb_by_filter_takes_those_that_match_and_may_be_changed() -> None:
    shop, other = failed(labels={"team": "shop"}), failed(labels={"team": "other"})
    [good] = begun(published(FAILS), GOOD, labels={"team": "shop"})
    client = api()
    by_label = {"filter": {"workflow": "fails", "label.team": "shop"}}
    assert client.post("runs/retry", by_label)[1] == {"won": [str(shop[0])], "lost": [], "more": 0, "notes": []}
    assert client.post("runs/cancel", by_label)[1]["won"] == [str(shop[0]), str(good)]
    assert client.post("runs/cancel", {"filter": {"state": "queued,running"}})[1]["won"] == []
    assert the_run(other[0]).state == "failed"


def test_dead_letters_are_retried_and_discarded_by_filter() -> None:
    first, second, third = failed(number=3)
    letters = {run_id: str(letter_of(run_id)) for run_id in (first, second, third)}
    client = api()
    assert client.post("dead-letters/retry", {"filter": {"run": str(first)}})[1]["won"] == [letters[first]]
    found = client.post("dead-letters/discard", {"ids": [letters[first], letters[second]], "why": "old"})[1]
    assert (found["won"], found["lost"]) == ([letters[second]], [{"id": letters[first], "state": "retried"}])
    assert client.post("dead-letters/discard", {"filter": {"workflow": "fails"}, "why": "old"})[1]["won"] == [
        letters[third]
    ]


def test_a_filter_takes_a_thousand_at_a_time_and_tells_how_many_more_match() -> None:
    found = published(FAILS)
    ids = [str(run_id) for run_id in begun(found, *[GOOD] * (AT_ONCE + 3))]
    client = api()
    _, told = client.post("runs/cancel", {"filter": {"workflow": "fails"}})
    assert (told["won"], told["lost"], told["more"]) == (ids[:AT_ONCE], [], 3)
    _, told = client.post("runs/cancel", {"filter": {"workflow": "fails"}})
    assert (told["won"], told["more"]) == (ids[AT_ONCE:], 0)


@pytest.mark.parametrize(
    ("path", "body", "where"),
    [
        ("runs/cancel", {}, ""),
        ("runs/cancel", {"ids": [], "why": "x"}, "ids"),
        ("runs/cancel", {"ids": ["no-id"]}, "ids[0]"),
        ("runs/cancel", {"ids": [str(UUID(int=n)) for n in range(AT_ONCE + 1)]}, "ids"),
        ("runs/cancel", {"ids": [str(UUID(int=1))], "filter": {"workflow": "fails"}}, ""),
        ("runs/cancel", {"filter": {}}, "filter"),
        ("runs/cancel", {"filter": {"stat": "queued"}}, "filter.stat"),
        ("runs/cancel", {"filter": {"limit": "5"}}, "filter.limit"),
        ("runs/cancel", {"filter": {"state": "failed"}}, "filter.state"),
        ("runs/retry", {"filter": {"state": "suceeded"}}, "filter.state"),
        ("dead-letters/retry", {"filter": {"run": "no-id"}}, "run"),
        ("dead-letters/discard", {"filter": {"workflow": "fails"}}, "why"),
    ],
)
def test_a_bulk_body_that_is_wrong_is_refused_and_changes_nothing(path: str, body: Any, where: str) -> None:
    failed()
    begun(published(FAILS), GOOD)
    status, problem = api().post(path, body)
    assert status == 400, problem
    assert first_error(problem)[0] == where
    assert not Intervention.objects.exists()


def test_the_schema_tells_every_verb() -> None:
    client: Api = api()
    paths = Client().get("/api/v1/schema", headers={"Authorization": f"Bearer {client.token}"}).json()["paths"]
    for path in (
        *(
            "runs/{key}/cancel",
            "runs/{key}/terminate",
            "runs/terminate",
            "runs/{key}/retry",
            "runs/{key}/replay",
            "runs/cancel",
            "runs/retry",
        ),
        *("dead-letters/{key}/retry", "dead-letters/{key}/discard", "dead-letters/retry", "dead-letters/discard"),
    ):
        assert {"200", "201"} & paths[f"/api/v1/{path}"]["post"]["responses"].keys()
        assert "409" in paths[f"/api/v1/{path}"]["post"]["responses"] or "{key}" not in path


ENDS = """
name: ends
steps:
  - {id: a, action: default, compensate: {action: wait, with: {for: 1h}}}
  - {id: b, action: fail, with: {message: no}}
"""


def test_a_run_that_compensates_shows_what_it_comes_to_and_cannot_be_cancelled() -> None:
    [run_id] = begun(published(ENDS))
    drain()
    _, run = api().get(f"runs/{run_id}")
    assert (run["state"], run["ending"], run["error"]["step"]) == ("compensating", "failed", "b")
    assert [(step["step"], step["state"]) for step in run["steps"]] == [
        ("a", "succeeded"),
        ("b", "failed"),
        ("undo:a", "waiting"),
    ]
    assert "on its way to its end (failed)" in refused(api().post(f"runs/{run_id}/cancel", {}), state="compensating")


def test_a_run_that_is_being_cancelled_says_so_when_it_is_cancelled_again() -> None:
    flow = published("name: tidies\nsteps: [{id: a, action: default}]\nfinally: [{id: t, action: default}]")
    [run_id] = begun(flow)
    assert api().post(f"runs/{run_id}/cancel", {}) == (200, {"id": str(run_id), "state": "running"})
    status, problem = api().post(f"runs/{run_id}/cancel", {})
    assert (status, problem["state"]) == (409, "running")
    assert "is being cancelled already" in problem["detail"]
    drain()
    assert the_run(run_id).state == "cancelled"
