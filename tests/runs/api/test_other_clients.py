"""A client of another job engine: it starts jobs and workflows, and polls each by the id that was answered."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections

from tests.engine import drain
from tests.runs.doors import Api, api
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

EACH = 20
# A payload of each kind for the n-th job, with keys of the client's own.
KINDS: dict[str, Callable[[int], dict[str, Any]]] = {
    "compute": lambda n: {"iterations": 100, "index": n, "load_test": True},
    "flaky": lambda n: {"failure_rate": 0.5, "index": n},
    "notify": lambda n: {"message": f"job {n} is done"},
    "transform": lambda n: {"source": "db", "index": n},
    "default": lambda n: {"index": n},
}
ENDED = {"completed", "failed", "dead_letter"}


def all_ended(client: Api, address: str, ids: list[str]) -> list[dict[str, Any]]:
    """What each of these shows when it has ended, in their order."""
    found: dict[str, dict[str, Any]] = {}

    def poll() -> bool:
        drain()
        for one in ids:
            if one not in found:
                status, shown = client.get(f"{address}/{one}")
                assert (status, shown["id"]) == (200, one)
                if shown["status"] in ENDED:
                    found[one] = shown
        return len(found) == len(ids)

    wait_for(poll, what=f"every one of {len(ids)} {address} to end", timeout_seconds=120)
    return [found[one] for one in ids]


def test_twenty_jobs_of_every_kind_end_each_under_its_own_id() -> None:
    client = api()
    asked = [(kind, make(n)) for n in range(EACH) for kind, make in KINDS.items()]
    answers = [client.post("jobs", {"type": kind, "payload": body, "max_retries": 2}) for kind, body in asked]
    assert {status for status, _ in answers} == {201}
    ids = [job["id"] for _, job in answers]
    assert len(set(ids)) == len(asked)
    shown = all_ended(client, "jobs", ids)
    for (kind, body), job in zip(asked, shown, strict=True):
        assert (job["type"], job["payload"], job["max_retries"]) == (kind, body, 2)
        assert job["status"] == "completed" or kind == "flaky"
        assert 1 <= job["attempt"] <= 3
        assert job["completed_at"] >= job["created_at"]
        assert (job["last_error"] is None) == (job["attempt"] == 1 and job["status"] == "completed")
    counts = {status: len(client.get("jobs", status=status, limit=1000)[1]["results"]) for status in ENDED}
    assert sum(counts.values()) == len(asked)
    assert client.get("jobs", status="pending,queued,running,retrying")[1]["results"] == []


def test_twenty_workflows_at_once_are_twenty_starts() -> None:
    client = api()

    def start(number: int) -> tuple[int, dict[str, Any]]:
        steps = [
            {"name": "extract", "type": "transform", "payload": {"source": f"file-{number}"}, "max_retries": 2},
            {"name": "process", "type": "compute", "payload": {"iterations": 500, "pipeline_id": number}},
            {"name": "tell", "type": "notify", "payload": {"channel": "slack", "message": f"{number} is done"}},
        ]
        try:
            return client.post("workflows", {"name": "load-test", "steps": steps})
        finally:
            connections.close_all()

    with ThreadPoolExecutor(EACH) as threads:
        answers = list(threads.map(start, range(EACH)))
    assert {status for status, _ in answers} == {201}
    assert {made["status"] for _, made in answers} == {"pending"}
    ids = [made["id"] for _, made in answers]
    assert len(set(ids)) == EACH
    assert len({made["workflow_id"] for _, made in answers}) == 1
    for number, shown in enumerate(all_ended(client, "workflows", ids)):
        assert (shown["status"], shown["current_step"], shown["total_steps"]) == ("completed", 3, 3)
        extract, process, tell = shown["steps"]
        assert extract["output"] == {"source": f"file-{number}"}
        assert process["input"] == {"iterations": 500, "pipeline_id": number}
        assert tell["output"] == {"channel": "slack", "text": f"{number} is done"}
