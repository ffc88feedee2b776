"""Filters of lists: times, idempotency keys, several labels; and which limit a list used."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from runs.models import DeadLetter, Run
from tests.engine import drain
from tests.flows import begun, published
from tests.runs.doors import Api, api, first_error

pytestmark = pytest.mark.django_db(transaction=True)

PLAIN = "name: plain\nsteps:\n  - {id: a, action: default}\n"
FAILING = "name: failing\nsteps:\n  - {id: a, action: fail}\n"
DAYS = [datetime(2026, 3, day, 12, tzinfo=UTC) for day in range(1, 6)]


@pytest.fixture
def runs() -> list[str]:
    """Five runs that were created on the first five days of March 2026, and ended an hour later; ids are as old."""
    found = published(PLAIN)
    begun(found, *range(5))
    drain()
    made = []
    for day, run in zip(DAYS, Run.objects.order_by("id"), strict=True):
        key = UUID(int=(int(day.timestamp() * 1000) << 80) | (run.pk.int & (2**80 - 1)))
        times = {"created_at": day, "started_at": day, "finished_at": day + timedelta(hours=1)}
        Run.objects.filter(pk=run.pk).delete()
        run.pk = key
        for name, value in times.items():
            setattr(run, name, value)
        run.save(force_insert=True)
        made.append(str(key))
    return made


def ids(client: Api, address: str, **query: Any) -> list[str]:
    status, body = client.get(address, **query)
    assert status == 200, body
    return [one["id"] for one in body["results"]]


@pytest.mark.parametrize(
    ("query", "first", "end"),
    [
        ({"created_after": "2026-03-02T12:00:00Z"}, 2, 5),
        ({"created_after": "2026-03-02T11:59:59.999Z"}, 1, 5),
        ({"created_before": "2026-03-03T13:00:00+01:00"}, 0, 2),
        ({"created_after": "2026-03-01T13:00:00Z", "created_before": "2026-03-04T13:00:00Z"}, 1, 4),
        ({"finished_before": "2026-03-03T13:00:01Z"}, 0, 3),
        ({"finished_after": "2026-03-03T13:00:00Z"}, 3, 5),
        ({"finished_after": "2027-01-01T00:00:00Z"}, 0, 0),
        ({"created_before": "2026-03-03T00:00:00Z", "state": "succeeded", "workflow": "plain"}, 0, 2),
        ({"created_before": "2026-03-03T00:00:00Z", "state": "failed"}, 0, 0),
    ],
)
def test_runs_are_filtered_by_time(runs: list[str], query: dict[str, str], first: int, end: int) -> None:
    client = api()
    assert ids(client, "runs", **query) == runs[first:end][::-1]
    assert api("theirs").get("runs", **query)[1]["results"] == []
    page = client.get("runs", **query, limit=1)[1]
    assert [one["id"] for one in page["results"]] == runs[first:end][::-1][:1]


@pytest.mark.parametrize("name", ["created_after", "created_before", "finished_after", "finished_before"])
@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-03-01", "2026-03-01T09:00:00", "2026-03-01T09:00:00 02:00", "0001-01-01T00:00:00Z"]
)
def test_a_time_that_is_none_is_refused(name: str, text: str) -> None:
    status, problem = api().get("runs", **{name: text})
    assert (status, first_error(problem)[0]) == (400, name)
    assert "2026-03-01T09:00:00Z" in first_error(problem)[1]


def test_runs_and_jobs_are_found_by_their_idempotency_key() -> None:
    client = api()
    [wanted] = begun(published(PLAIN), {}, idempotency_key="k")
    begun(published(PLAIN), {}, idempotency_key="other")
    _, job = client.post("jobs", {"type": "noop", "idempotency_key": "k"})
    api("theirs").post("jobs", {"type": "noop", "idempotency_key": "k"})
    assert set(ids(client, "runs", idempotency_key="k")) == {str(wanted), job["id"]}
    assert ids(client, "runs", idempotency_key="k", workflow="plain") == [str(wanted)]
    assert ids(client, "jobs", idempotency_key="k") == [job["id"]]
    for unknown in ("", "K", "x" * 1000):
        assert ids(client, "runs", idempotency_key=unknown) == []


def test_jobs_and_dead_letters_are_filtered_by_time() -> None:
    client = api()
    _, job = client.post("jobs", {"type": "noop"})
    begun(published(FAILING))
    drain()
    letter = str(DeadLetter.objects.get().pk)
    for address, one in (("jobs", job["id"]), ("dead-letters", letter)):
        assert ids(client, address, created_after="2026-01-01T00:00:00Z") == [one]
        assert ids(client, address, created_before="2026-01-01T00:00:00Z") == []


def test_several_labels_must_all_be_there_and_of_several_values_any() -> None:
    client = api()
    found = published(PLAIN)
    made = {}
    for team in ("shop", "ops", "lab"):
        for tier in ("a", "b"):
            [made[team, tier]] = begun(found, {}, labels={"team": team, "tier": tier})
    assert ids(client, "runs", **{"label.team": "shop", "label.tier": "b"}) == [str(made["shop", "b"])]
    both = {"label.team": ["shop", "lab"], "label.tier": "a"}
    assert ids(client, "runs", **both) == [str(made["lab", "a"]), str(made["shop", "a"])]
    several = {"label.team": ["shop", "lab"], "label.tier": ["a", "b"]}
    assert len(ids(client, "runs", **several)) == 4
    status, problem = client.get("runs", **{"label.team": [str(n) for n in range(21)]})
    assert (status, first_error(problem)[0]) == (400, "label.team")


@pytest.mark.parametrize("name", ["workflow", "paused", "created_after", "limit", "idempotency_key"])
def test_a_filter_with_two_values_is_refused(name: str) -> None:
    status, problem = api().get("runs", **{name: ["1", "2"]})
    assert (status, first_error(problem)[0]) == (400, name)


def test_a_verb_over_many_takes_the_filters_of_the_list(runs: list[str]) -> None:
    client = api()
    begun(published("name: waits\nsteps:\n  - {id: a, action: wait, with: {for: 1h}}\n"), {}, idempotency_key="k")
    drain()
    body = {"filter": {"created_after": "2026-03-04T00:00:00Z", "idempotency_key": "k"}}
    status, told = client.post("runs/cancel", body)
    assert (status, len(told["won"])) == (200, 1)
    status, problem = client.post("runs/cancel", {"filter": {"created_after": "now"}})
    assert (status, first_error(problem)[0]) == (400, "created_after")


@pytest.mark.parametrize("address", ["runs", "jobs", "workflows", "dead-letters", "approvals"])
def test_a_list_says_which_limit_it_used(address: str) -> None:
    client = api()
    for given, used in (("0", 1), ("-1", 1), ("7", 7), ("1000", 1000), ("100000", 1000), ("9" * 5000, 1000)):
        assert client.get(address, limit=given)[1]["limit"] == used
    assert client.get(address)[1]["limit"] == 50
