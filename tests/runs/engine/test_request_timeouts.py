"""`with.timeout` of a request, and the timeout of the step: neither wins over the other silently."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import LazySettings

from actions import network
from actions.base import Json
from runs.control import starts
from runs.domain.requests import Request
from runs.planning import plan as plans
from runs.planning.steps import PlannedStep
from tests.actions.http_server import Server, serving
from tests.engine import drain
from tests.flows import begun, of_earlier_release, owner, published, steps, workspace
from workflows.publishing.publish import job_version

pytestmark = pytest.mark.django_db(transaction=True)

ASK = "name: ask\nsteps: [{{id: a, action: http_request, retry: none, with: {{url: '{url}', timeout: {own}}}{more}}}]"


@pytest.fixture
def server(settings: LazySettings) -> Iterator[Server]:
    """An HTTP server that the guard permits."""
    with serving() as told:
        network.configure([f"127.0.0.1:{told.port}"])
        yield told
    network.configure(settings.OUTBOUND_ALLOW)


def planned(text: str) -> PlannedStep:
    return plans.load(of_earlier_release(text).version.pk).steps["a"]


@pytest.mark.parametrize(
    ("own", "more", "seconds"),
    [
        ("60", "", 65),
        ("500ms", "", 5.5),
        ("2m", ", timeout: 5m", 300),
        ("3599", "", 3600),
        ("7200", "", 3600),
        ("null", "", 30),
        ("'{{ input.t }}'", "", 3600),
        ("'{{ input.t }}'", ", timeout: 50", 50),
        ("60", ", timeout: 20", 20),
    ],
)
def test_attempt_has_the_timeout_of_its_step_or_five_seconds_more_than_the_request(
    own: str, more: str, seconds: float
) -> None:
    assert planned(ASK.format(url="https://x.example", own=own, more=more)).timeout_seconds == seconds


def test_step_whose_request_has_no_timeout_has_that_of_the_action() -> None:
    step = planned("name: ask\nsteps: [{id: a, action: http_request, with: {url: 'https://x.example'}}]")
    assert (step.timeout_seconds, step.usual_seconds) == (30, 30)


@pytest.mark.parametrize("given", [31, "40s", "2m"])
def test_computed_timeout_beyond_the_steps_own_fails_the_step(server: Server, given: Any) -> None:
    text = ASK.format(url=server.url("/echo"), own="'{{ input.t }}'", more=", timeout: 30")
    [run_id] = begun(published(text), {"t": given})
    drain()
    error = steps(run_id)["a"].error
    assert error is not None
    assert (error["kind"], error["details"]) == ("config", {"path": "with.timeout"})
    assert "but the attempt may take 30 s; make the step's timeout longer" in error["message"]
    assert server.asked == []


@pytest.mark.parametrize(("own", "given"), [("'{{ input.t }}'", "200ms"), ("200ms", None), ("0.2", None)])
def test_request_ends_at_its_own_timeout(server: Server, own: str, given: Json) -> None:
    [run_id] = begun(published(ASK.format(url=server.url("/drip"), own=own, more="")), {"t": given})
    drain()
    error = steps(run_id)["a"].error
    assert error is not None
    assert error["kind"] == "timeout"


def test_earlier_version_with_a_longer_request_ends_with_its_step_as_before(server: Server) -> None:
    text = ASK.format(url=server.url("/echo"), own="60", more=", timeout: 20")
    [run_id] = begun(of_earlier_release(text))
    drain()
    assert steps(run_id)["a"].state == "succeeded"


def test_job_may_give_its_request_a_longer_timeout(server: Server) -> None:
    version = job_version(workspace(), owner=owner(), action="http_request")
    step = plans.load(version.pk).steps["http_request"]
    assert (step.timeout_seconds, step.usual_seconds) == (3600, 30)
    asked = Request(input={"url": server.url("/echo"), "timeout": 60})
    [started] = starts.start([asked], version=version, workflow=version.workflow, source="test")
    drain()
    assert steps(started.run_id)["http_request"].state == "succeeded"
