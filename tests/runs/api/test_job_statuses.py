"""The statuses of jobs, in the words of other job engines, and the list of jobs by them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from runs.control import dead_letters, pauses, stops
from runs.domain.actor import Actor
from runs.domain.statuses import JobStatus
from runs.engine import lease
from runs.models import DeadLetter
from tests.engine import claim, drain
from tests.runs.doors import Api, api, first_error

pytestmark = pytest.mark.django_db(transaction=True)

ALWAYS_FAILS = {"type": "flaky", "payload": {"failure_rate": 1}}


def one_of_each(client: Api) -> dict[str, str]:
    """A job in each status, by its status."""
    made = {}
    for status, body in {
        "completed": {"type": "compute", "payload": {"iterations": 1}},
        "dead_letter": {"type": "fail", "payload": {"message": "no use"}},
        "failed": {"type": "fail"},
        "retrying": {**ALWAYS_FAILS, "max_retries": 3},
        "running": {"type": "wait", "payload": {"seconds": 3600}},
    }.items():
        made[status] = client.post("jobs", body)[1]["id"]
    drain()
    letter = DeadLetter.objects.get(run=made["failed"])
    dead_letters.discard([letter.pk], actor=Actor(reason="not needed"))
    with override_settings(DISPATCH_WINDOW_MESSAGES=0):
        made["queued"] = client.post("jobs", {"type": "noop"})[1]["id"]
        made["pending"] = client.post("jobs", {"type": "noop"})[1]["id"]
    pauses.pause([UUID(made["pending"])], actor=Actor())
    return made


def test_every_status_is_shown_and_found_by_its_word() -> None:
    client = api()
    made = one_of_each(client)
    assert made.keys() == set(JobStatus)
    for status, job in made.items():
        assert client.get(f"jobs/{job}")[1]["status"] == status
        found = client.get("jobs", status=status)[1]["results"]
        assert [(one["id"], one["status"]) for one in found] == [(job, status)]
    both = client.get("jobs", status="failed,dead_letter")[1]["results"]
    assert {one["id"] for one in both} == {made["failed"], made["dead_letter"]}
    # `state` keeps our words, and so does `status` for those that no other engine has.
    assert {one["state"] for one in client.get("jobs", state="failed")[1]["results"]} == {"failed"}
    assert len(client.get("jobs", state="failed")[1]["results"]) == 2
    assert [one["id"] for one in client.get("jobs", status="waiting")[1]["results"]] == [made["running"]]
    assert client.get("jobs", status="failed", state="succeeded")[1]["results"] == []


def test_a_cancelled_job_has_failed_and_its_state_says_how() -> None:
    client = api()
    _, job = client.post("jobs", {"type": "wait", "payload": {"seconds": 3600}})
    drain()
    stops.cancel([UUID(job["id"])], actor=Actor())
    shown = client.get(f"jobs/{job['id']}")[1]
    assert (shown["status"], shown["state"]) == ("failed", "cancelled")
    assert [one["id"] for one in client.get("jobs", status="failed")[1]["results"]] == [job["id"]]


@pytest.mark.parametrize("word", ["dead", "retry", "done", "", "dead_letter,nope"])
def test_a_word_that_is_no_status_is_refused(word: str) -> None:
    status, problem = api().get("jobs", status=word)
    assert status == 400
    assert first_error(problem)[0] == "status"
    assert "is not a status" in first_error(problem)[1]


def test_a_job_tells_its_attempts_its_times_and_its_last_error() -> None:
    client = api()
    made = one_of_each(client)
    shown = {status: client.get(f"jobs/{job}")[1] for status, job in made.items()}
    retrying, dead, done = shown["retrying"], shown["dead_letter"], shown["completed"]
    assert (retrying["attempt"], retrying["max_retries"]) == (1, 3)
    assert "failed by chance" in retrying["last_error"]
    assert _time(retrying["scheduled_at"]) > _time(retrying["started_at"])
    assert retrying["completed_at"] is None
    assert dead["last_error"] == "no use"
    assert dead["completed_at"] == dead["finished_at"] is not None
    assert (done["last_error"], done["scheduled_at"], done["worker_id"]) == (None, None, None)
    assert done["created_at"] <= done["started_at"] <= done["completed_at"] <= done["updated_at"]
    assert _time(shown["running"]["scheduled_at"]) > datetime.now(UTC)
    assert shown["queued"]["scheduled_at"] == shown["queued"]["created_at"] == shown["queued"]["updated_at"]
    assert (shown["pending"]["scheduled_at"], shown["pending"]["started_at"]) == (None, None)
    listed = {one["status"]: one for one in client.get("jobs")[1]["results"]}
    for status, one in listed.items():
        assert one == {key: value for key, value in shown[status].items() if key in one}


def test_a_job_names_the_process_that_performs_it() -> None:
    client = api()
    process = lease.current()
    _, job = client.post("jobs", {"type": "notify", "payload": {"message": "done"}})
    claim(UUID(job["id"]), "notify", process=process)
    shown = client.get(f"jobs/{job['id']}")[1]
    assert (shown["status"], shown["worker_id"], shown["attempt"]) == ("running", str(process), 1)


def test_jobs_are_listed_by_limit_and_offset() -> None:
    client = api()
    jobs = [client.post("jobs", {"type": "noop", "payload": {"n": n}})[1]["id"] for n in range(5)][::-1]
    first = client.get("jobs", limit=2)[1]
    assert (_ids(first), first["limit"], first["offset"]) == (jobs[:2], 2, 0)
    second = client.get("jobs", limit=2, offset=2)[1]
    assert (_ids(second), second["offset"]) == (jobs[2:4], 2)
    assert "offset" not in second["next"]
    assert _ids(client.get("jobs?" + second["next"].partition("?")[2])[1]) == jobs[4:]
    assert _ids(client.get("jobs", limit=2, offset=5)[1]) == []
    for given, used in (("0", 1), ("-5", 1), ("100000", 1000), ("1000", 1000)):
        assert client.get("jobs", limit=given)[1]["limit"] == used


@pytest.mark.parametrize("offset", ["-1", "x", "1.5", "100001", "9" * 5000])
def test_an_offset_that_is_none_or_too_large_is_refused(offset: str) -> None:
    status, problem = api().get("jobs", offset=offset)
    assert (status, first_error(problem)[0]) == (400, "offset")


def test_an_offset_beside_a_cursor_is_refused() -> None:
    status, problem = api().get("jobs", offset=1, cursor="AAAA")
    assert (status, first_error(problem)[0]) == (400, "offset")


def test_a_list_of_jobs_takes_the_same_queries_however_long_it_is() -> None:
    client = api()
    client.post("jobs", {"type": "noop"})
    client.get("jobs")

    def queries() -> int:
        with CaptureQueriesContext(connection) as seen:
            client.get("jobs")
        return len(seen)

    before = queries()
    one_of_each(client)
    one_of_each(client)
    assert queries() <= before + 2


def _ids(page: dict[str, Any]) -> list[str]:
    return [one["id"] for one in page["results"]]


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
