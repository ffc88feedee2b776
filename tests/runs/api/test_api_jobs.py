"""/api/v1/jobs: one action as a run of its own."""

from __future__ import annotations

import pytest

from runs.models import Run
from tests.engine import drain
from tests.runs.doors import api, first_error
from workflows.models import Version

pytestmark = pytest.mark.django_db(transaction=True)

COMPUTE = {"type": "compute", "payload": {"iterations": 5000}, "max_retries": 3}


def test_a_job_is_a_run_of_one_step() -> None:
    client = api()
    status, job = client.post("jobs", COMPUTE)
    assert status == 201
    # It may have begun with its start.
    assert (job["state"] in ("queued", "running"), job["status"] in ("queued", "running"), job["attempt"]) == (
        True,
        True,
        0,
    )
    drain()
    status, done = client.get(f"jobs/{job['id']}")
    assert status == 200
    assert (done["type"], done["payload"], done["max_retries"]) == ("compute", {"iterations": 5000}, 3)
    assert (done["state"], done["status"], done["attempt"]) == ("succeeded", "completed", 1)
    assert done["output"]["iterations"] == 5000
    for word in ("success", "succeeded", "completed"):
        assert [one["id"] for one in client.get("jobs", status=word)[1]["results"]] == [job["id"]]
    assert client.get("jobs", status="failed")[1]["results"] == []
    assert client.get("jobs", type="transform")[1]["results"] == []
    assert len(client.get("jobs", type="compute")[1]["results"]) == 1
    assert client.get(f"runs/{job['id']}")[1]["steps"][0]["input"] == {"iterations": 5000}


def test_jobs_of_one_type_and_number_of_retries_share_a_version() -> None:
    client = api()
    for number in range(1, 4):
        client.post("jobs", {**COMPUTE, "payload": {"iterations": number}})
    client.post("jobs", {**COMPUTE, "max_retries": 2})
    client.post("jobs", {"type": "compute", "payload": {"iterations": 1}})
    assert Run.objects.count() == 5
    assert Version.objects.count() == 3


def test_a_key_of_a_job_is_used_once_in_a_workspace() -> None:
    mine, theirs = api(), api("theirs")
    body = {**COMPUTE, "idempotency_key": "order-7"}
    _, first = mine.post("jobs", body)
    status, again = mine.post("jobs", {**body, "max_retries": 1})
    assert (status, again["id"]) == (200, first["id"])
    status, other = theirs.post("jobs", body)
    assert status == 201
    assert other["id"] != first["id"]
    assert mine.get(f"jobs/{other['id']}")[0] == 404


def test_the_payload_of_a_transform_without_its_keys_is_set() -> None:
    client = api()
    _, job = client.post("jobs", {"type": "transform", "payload": {"source": "db"}})
    drain()
    assert client.get(f"jobs/{job['id']}")[1]["output"] == {"source": "db"}


@pytest.mark.parametrize(
    ("action", "payload", "output"),
    [
        ("compute", {"iterations": 100, "index": 7, "load_test": True}, {"iterations": 100}),
        ("flaky", {"failure_rate": 0, "index": 1}, {"attempt": 1}),
        ("notify", {"message": "done"}, {"channel": "log", "text": "done"}),
        ("notify", {"channel": "slack", "user": {"id": 7}}, {"channel": "slack", "text": ""}),
        ("noop", {"anything": [1, 2]}, {"anything": [1, 2]}),
        ("sleep", {"seconds": 0, "note": "{{ not an expression"}, {}),
    ],
)
def test_what_the_action_does_not_know_of_a_payload_is_data(
    action: str, payload: dict[str, object], output: dict[str, object]
) -> None:
    client = api()
    status, job = client.post("jobs", {"type": action, "payload": payload})
    assert status == 201
    drain()
    done = client.get(f"jobs/{job['id']}")[1]
    assert (done["state"], done["payload"]) == ("succeeded", payload)
    assert client.get(f"runs/{job['id']}")[1]["steps"][0]["input"] == payload
    assert output.items() <= done["output"].items()


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"type": "comptue"}, "type"),
        ({"type": 7}, "type"),
        ({"max_retries": -1}, "max_retries"),
        ({"max_retries": 1000}, "max_retries"),
        ({"max_retries": "3"}, "max_retries"),
        ({"max_retries": True}, "max_retries"),
        ({"payload": {"iterations": "many"}}, "payload.iterations"),
        ({"payload": {"iterations": None, "index": 1}}, "payload.iterations"),
        ({"payload": [1]}, "payload"),
        ({"type": "http_call", "payload": {"adress": "https://a.example"}}, "payload.url"),
        ({"retries": 1}, "retries"),
    ],
)
def test_a_bad_job_is_refused_with_its_path_and_nothing_is_stored(change: dict[str, object], path: str) -> None:
    status, problem = api().post("jobs", {**COMPUTE, **change})
    assert status == 400
    assert path in [error["path"] for error in problem["errors"]]
    assert not Run.objects.exists()


def test_a_wrong_type_names_the_nearest_action() -> None:
    _, problem = api().post("jobs", {**COMPUTE, "type": "comptue"})
    assert "compute" in first_error(problem)[1]
