"""Outputs of runs and steps: in the answer while they are small, by a link when they are large or not wanted."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from runs.schemas.outputs import MOST_BYTES
from tests.engine import drain
from tests.flows import begun, published
from tests.runs.doors import Api, api, first_error

pytestmark = pytest.mark.django_db(transaction=True)

FLOW = """
name: outputs
steps:
  - {id: small, needs: [], action: transform, with: {set: {n: 1}}}
  - {id: large, needs: [], action: transform, with: {set: {text: "{{ input.text }}"}}}
  - {id: after, action: transform, with: {select: [text]}, needs: [large]}
  - {id: skipped, needs: [], action: default, if: "false"}
output: "{{ steps.large.output }}"
"""


@pytest.fixture
def run() -> UUID:
    """A run with a small output, and a large one that is also the run's."""
    [run_id] = begun(published(FLOW), {"text": "x" * MOST_BYTES})
    drain()
    return run_id


def linked(client: Api, address: str) -> Any:
    status, body = client.get(urlsplit(address).path.removeprefix("/api/v1/"))
    assert status == 200
    return body["output"]


def test_a_large_output_comes_by_a_link(run: UUID) -> None:
    client = api()
    shown = client.get(f"runs/{run}")[1]
    small, large, skipped, after = shown["steps"]
    assert (small["output"], small["output_url"]) == ({"n": 1}, None)
    assert (skipped["output"], skipped["output_url"]) == (None, None)
    assert (large["output"], shown["output"]) == (None, None)
    assert large["output_url"].startswith("http://")
    assert linked(client, large["output_url"]) == linked(client, shown["output_url"]) == {"text": "x" * MOST_BYTES}
    # What one step has returned is what the next was given.
    assert (after["input"], after["output"], after["left_out"]) == (None, None, ["input", "output"])
    status, whole = client.get(urlsplit(after["step_url"]).path.removeprefix("/api/v1/"))
    assert (status, whole["input"], whole["left_out"]) == (200, {"text": "x" * MOST_BYTES}, [])
    assert whole["output"] == linked(client, after["output_url"])
    assert len(str(shown)) < 2 * MOST_BYTES
    latest = client.get("workflows/outputs")[1]["latest_run"]
    assert latest["steps"][1]["output_url"] == large["output_url"]


def test_all_outputs_or_none_come_where_they_are_asked_for(run: UUID) -> None:
    client = api()
    shown = client.get(f"runs/{run}", include="outputs")[1]
    assert shown["output"] == shown["steps"][1]["output"] == {"text": "x" * MOST_BYTES}
    assert shown["output_url"] is None
    shown = client.get(f"runs/{run}", exclude="outputs")[1]
    assert [one["output"] for one in shown["steps"]] == [None] * 4
    assert [shown["steps"][n]["left_out"] for n in (0, 2)] == [["input", "output"], []]
    assert linked(client, shown["steps"][0]["output_url"]) == {"n": 1}
    assert shown["steps"][2]["output_url"] is None


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ({"include": "output"}, "include"),
        ({"exclude": ""}, "exclude"),
        ({"exclude": "outputs,steps"}, "exclude"),
        ({"include": "outputs", "exclude": "outputs"}, "exclude"),
    ],
)
def test_what_cannot_be_included_or_excluded_is_refused(run: UUID, query: dict[str, str], name: str) -> None:
    status, problem = api().get(f"runs/{run}", **query)
    assert (status, first_error(problem)[0]) == (400, name)


def test_many_outputs_that_are_large_only_together_are_cut_off_as_well() -> None:
    steps = [{"id": f"s{n}", "action": "transform", "with": {"set": {"t": "{{ input.t }}"}}} for n in range(80)]
    client = api()
    client.post("workflows", {"name": "many", "steps": steps})
    _, made = client.post("workflows/many/runs", {"input": {"t": "x" * (MOST_BYTES - 100)}})
    drain()
    shown = client.get(f"runs/{made['id']}")[1]["steps"]
    assert [one["output"] is None for one in shown] == [one["output_url"] is not None for one in shown]
    assert 20 <= sum(one["output"] is not None for one in shown) <= 64
    assert len(str(shown)) < 5 * 1024 * 1024


def test_outputs_of_another_workspace_and_of_unknown_steps_are_not_there(run: UUID) -> None:
    assert api("theirs").get(f"runs/{run}/output")[0] == 404
    assert api("theirs").get(f"runs/{run}/steps/small/output")[0] == 404
    assert api("theirs").get(f"runs/{run}/steps/small")[0] == 404
    for address in (
        f"runs/{run}/steps/nope",
        f"runs/{run}/steps/nope/output",
        "runs/nope/output",
        f"runs/{UUID(int=0)}/steps/small/output",
    ):
        assert api().get(address)[0] == 404
