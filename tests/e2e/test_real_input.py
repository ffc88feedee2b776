"""Real input through real processes: what the README promises, sent over HTTP to an installation of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from project.env import BASE_DIR
from tests.e2e.installation import Installation
from tests.waiting import wait_for

pytestmark = pytest.mark.e2e

ENDED = ("succeeded", "failed", "cancelled")


class Receiver(ThreadingHTTPServer):
    """A service out there: `/flaky` answers 503 once for each key, `/gone` 404, anything else 200."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.seen: list[tuple[str, Any, str]] = []

    def got(self, path: str) -> list[tuple[Any, str]]:
        """Bodies and idempotency keys that came to this path."""
        return [(body, key) for where, body, key in self.seen if where == path]


class _Answer(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = self.headers["Idempotency-Key"]
        known = any(seen_key == key for _, seen_key in self.server.got(self.path))
        self.server.seen.append((self.path, body, key))
        status = {"/gone": 404, "/flaky": 200 if known else 503}.get(self.path, 200)
        answer = b'{"id": 5}'
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """Requests are looked at in `seen`."""


class Api:
    """The API of an installation, as a client with its token sees it."""

    def __init__(self, installation: Installation) -> None:
        self.base = f"http://127.0.0.1:{installation.port}/api/v1"
        self.token = installation.credentials()["STEPWISE_TOKEN"]

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and JSON of one request."""
        request = urllib.request.Request(self.base + path, method=method)
        request.add_header("Authorization", f"Bearer {self.token}")
        if body is not None:
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def publish(self, document: Any) -> str:
        """The id of the workflow."""
        status, body = self.call("POST", "/workflows", document)
        assert status in (200, 201), body
        return str(body["id"])

    def run(self, workflow: str, given: Any) -> Any:
        """One run of the workflow, ended."""
        status, body = self.call("POST", f"/workflows/{workflow}/runs", {"input": given})
        assert status == 201, body
        return self.ended(f"/runs/{body['id']}")

    def ended(self, path: str) -> Any:
        """The run or job at this path, once it has ended."""

        def look() -> Any:
            _, body = self.call("GET", path)
            return body if body["state"] in ENDED else None

        return wait_for(look, what=f"the end of {path}", timeout_seconds=120)


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def api(running: Installation) -> Api:
    return Api(running)


def states(run: Any) -> dict[str, str]:
    return {step["step"]: step["state"] for step in run["steps"]}


def test_select_email_shows_its_input_and_output(api: Api) -> None:
    workflow = api.publish(
        {"name": "pick", "steps": [{"id": "p", "action": "transform", "with": {"select": ["email"]}}]}
    )
    run = api.run(workflow, {"email": "user@example.com", "age": 20})
    assert run["state"] == "succeeded"
    [step] = run["steps"]
    assert step["input"] == {"email": "user@example.com", "age": 20}
    assert step["output"] == {"email": "user@example.com"}


def test_the_command_runs_it_and_prints_its_timeline(running: Installation) -> None:
    clean = {"PATH": "/usr/bin:/bin", "STEPWISE_HOME": str(running.home)}
    answer = subprocess.run(
        [sys.executable, "manage.py", "run_workflow", "select-email", "--input", '{"email": "a@b.c", "age": 1}'],
        cwd=BASE_DIR,
        env=clean,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert '{"email":"a@b.c"}' in answer.stdout


@pytest.mark.parametrize(
    ("path", "state", "tries"), [("/ok", "succeeded", 1), ("/flaky", "succeeded", 2), ("/gone", "failed", 1)]
)
def test_a_call_posts_its_body_and_retries_what_may_pass(
    api: Api, receiver: Receiver, path: str, state: str, tries: int
) -> None:
    url = f"http://127.0.0.1:{receiver.server_port}{path}"
    call = {"url": url, "method": "POST", "body_template": {"email": "{{email}}"}}
    workflow = api.publish(
        {
            "name": f"call{path[1:]}",
            "steps": [
                {"id": "pick", "action": "transform", "with": {"select": ["email"]}},
                {"id": "call", "action": "http_call", "with": call},
            ],
        }
    )
    run = api.run(workflow, {"email": "user@example.com", "age": 20})
    assert run["state"] == state
    came = receiver.got(path)
    assert [body for body, _ in came] == [{"email": "user@example.com"}] * tries
    assert len({key for _, key in came}) == 1, "every attempt bears the same key"
    assert run["steps"][1]["attempt"] == tries


def test_a_short_form_workflow_is_made_and_started(api: Api) -> None:
    status, body = api.call(
        "POST",
        "/workflows",
        {
            "name": "short-pipeline",
            "steps": [
                {"name": "extract", "type": "transform", "payload": {"source": "db"}, "max_retries": 3},
                {"name": "process", "type": "compute", "payload": {"iterations": 1000}, "max_retries": 2},
                {"name": "notify", "type": "notify", "payload": {"channel": "slack"}, "max_retries": 1},
            ],
        },
    )
    assert status == 201
    assert body["status"]
    run = api.ended(f"/runs/{body['run']['id']}")
    assert states(run) == {"extract": "succeeded", "process": "succeeded", "notify": "succeeded"}
    status, shown = api.call("GET", f"/workflows/{body['id']}")
    assert (shown["state"], shown["status"]) == ("succeeded", "completed")
    assert len(shown["steps"]) == 3


def test_a_job_is_a_run_of_one_step(api: Api) -> None:
    status, job = api.call("POST", "/jobs", {"type": "compute", "payload": {"iterations": 5000}, "max_retries": 3})
    assert status == 201
    assert api.ended(f"/jobs/{job['id']}")["output"]["iterations"] == 5000
    for word in ("success", "succeeded", "completed"):
        _, listed = api.call("GET", f"/jobs?status={word}")
        assert job["id"] in [one["id"] for one in listed["results"]]


def test_nodes_and_edges_run_in_order_with_a_wait_and_a_join(api: Api) -> None:
    workflow = api.publish(
        {
            "name": "drawn",
            "nodes": [
                {"id": "start", "type": "trigger", "data": {}},
                {"id": "prepare", "type": "action", "data": {"action": "transform", "config": {"set": {"n": 20}}}},
                {"id": "adult", "type": "condition", "data": {"expression": "steps.prepare.output.n >= 18"}},
                {"id": "pause", "type": "wait", "data": {"seconds": 1}},
                {"id": "refuse", "type": "action", "data": {"action": "noop"}},
                {"id": "end", "type": "action", "data": {"action": "noop"}},
            ],
            "edges": [
                {"source": "start", "target": "prepare"},
                {"source": "prepare", "target": "adult"},
                {"source": "adult", "target": "pause", "condition": "true"},
                {"source": "adult", "target": "refuse", "condition": "false"},
                {"source": "pause", "target": "end"},
                {"source": "refuse", "target": "end"},
            ],
        }
    )
    run = api.run(workflow, {})
    assert run["state"] == "succeeded"
    assert states(run)["refuse"] == "skipped"
    assert states(run)["end"] == "succeeded"
    assert {"result": True} in [step["output"] for step in run["steps"]]


def test_the_fifth_of_ten_fails_with_its_error_and_input_in_a_dead_letter(api: Api) -> None:
    steps: list[Any] = [{"id": f"s{n}", "action": "default"} for n in range(1, 11)]
    steps[4] = {"id": "s5", "action": "fail", "with": {"message": "no such customer"}}
    run = api.run(api.publish({"name": "ten", "steps": steps}), {"customer": 7})
    assert [step["state"] for step in run["steps"]] == ["succeeded"] * 4 + ["failed"] + ["skipped"] * 5
    _, letters = api.call("GET", f"/dead-letters?run={run['id']}")
    [dead_letter] = letters["results"]
    _, whole = api.call("GET", f"/dead-letters/{dead_letter['id']}")
    assert whole["error"]["message"] == "no such customer"
    assert whole["input"] == {"customer": 7}
