"""Flower shows workers and tasks to whoever opens it, and workers send it nothing before."""

from __future__ import annotations

import base64
import json
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from project.celery import app
from runs.models import Run
from tests.e2e.installation import Installation
from tests.engine import messages
from tests.flows import begun, published
from tests.waiting import wait_for
from tests.workers import Worker

pytestmark = pytest.mark.e2e
_OF_TASKS = {"task-received", "task-started", "task-succeeded"}


def _flower(running: Installation, path: str) -> Any:
    known = running.credentials()
    login = f"{known['STEPWISE_ADMIN_USER']}:{known['STEPWISE_FLOWER_PASSWORD']}"
    request = urllib.request.Request(f"http://127.0.0.1:{running.flower_port}{path}")
    request.add_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def _start_run(running: Installation) -> None:
    known = running.credentials()
    request = urllib.request.Request(
        f"{known['STEPWISE_URL']}/api/v1/workflows/select-email/runs",
        data=json.dumps({"input": {"email": "secret@b.c", "age": 2}}).encode(),
        headers={"Authorization": f"Bearer {known['STEPWISE_TOKEN']}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 201


def test_flower_shows_a_worker_and_a_task_once_it_is_open(running: Installation) -> None:
    # The first of these opens it: workers send events from then on, and its page refreshes itself until it shows them.
    wait_for(lambda: _flower(running, "/workers?json=1")["data"], what="Flower to show a worker", timeout_seconds=60)
    (worker,) = _flower(running, "/workers?json=1")["data"]
    assert worker["status"] is True
    assert not _flower(running, "/api/tasks"), "the example ran before Flower was open"
    _start_run(running)
    wait_for(lambda: _flower(running, "/api/tasks"), what="Flower to show a task", timeout_seconds=60)
    tasks = _flower(running, "/api/tasks")
    assert {task["name"] for task in tasks.values()} == {"runs.advance"}
    assert "secret@b.c" not in json.dumps(tasks)
    assert worker["hostname"] in {task["worker"] for task in tasks.values()}


@pytest.fixture(params=["while_open", "always"])
def worker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Worker]:
    """A worker with the flags of the installation, and the setting that its parameter names."""
    messages()
    started = Worker(tmp_path / "events.log", app="project", env={"TASK_EVENTS": request.param}).start()
    yield started
    started.kill()


@pytest.fixture
def heard() -> Iterator[set[str]]:
    """The types of all events that are sent meanwhile."""
    types: set[str] = set()
    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": lambda event: types.add(event["type"])})
        listener = threading.Thread(target=receiver.capture, kwargs={"wakeup": False})
        listener.start()
        with app.connection_for_write() as other, app.events.Dispatcher(other) as dispatcher:

            def listens() -> bool:
                dispatcher.send("test-hello")
                return "test-hello" in types

            wait_for(listens, what="the listener to hear events")
        yield types
        receiver.should_stop = True
        listener.join(60)


@pytest.mark.django_db(transaction=True)
def test_events_are_sent_when_asked_for_or_always(heard: set[str], worker: Worker) -> None:
    flow = published("name: quick\nsteps: [{id: a, action: transform, with: {set: {x: 1}}}]")
    [run_id] = begun(flow)
    wait_for(lambda: Run.objects.filter(pk=run_id, state="succeeded").exists(), what="the run")
    if worker.env["TASK_EVENTS"] == "always":
        wait_for(lambda: heard >= _OF_TASKS, what="the events of a task that nobody asked for")
    else:
        assert not heard & _OF_TASKS
    app.control.enable_events()
    wait_for(lambda: "worker-heartbeat" in heard, what="the worker's answer")
    begun(flow)
    wait_for(lambda: heard >= _OF_TASKS, what="all the events of a task")
