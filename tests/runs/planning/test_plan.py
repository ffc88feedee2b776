"""How a definition is cut into segments and links, and compiled into chains."""

from __future__ import annotations

import json
import runpy
from uuid import UUID

import orjson
import pytest
from django.core.exceptions import ImproperlyConfigured
from uuid_utils.compat import uuid7

from project.env import BASE_DIR
from runs.dispatch.compiler import MAX_KEYS, compile_chain
from runs.domain.candidates import Candidate
from runs.planning.plan import Plan
from workflows.formats import parse
from workflows.publishing.validate import validate


def plan(text: str) -> Plan:
    return Plan(UUID(int=1), validate(parse.load(text).document).definition)


def heads(found: Plan) -> list[list[str]]:
    return [[step.id for step in segment] for segment in found.segments()]


FORK = """
name: fork
steps:
  - {id: a, action: default}
  - {id: b, needs: [a], action: default}
  - {id: c, needs: [b], action: notify, with: {channel: x}}
  - {id: d, needs: [c], action: default}
  - {id: l, needs: [d], action: default}
  - {id: r, needs: [d], action: default}
  - {id: j, needs: [l, r], action: default}
  - {id: k, needs: [j], action: default}
"""


def test_segments_end_at_forks_and_joins() -> None:
    assert heads(plan(FORK)) == [["a", "b", "c", "d"], ["l"], ["r"], ["j", "k"]]


def test_pure_neighbours_fuse_and_an_effectful_step_is_a_link_of_its_own() -> None:
    found = plan(FORK)
    assert found.chain("a") == ["a", "c", "d"]
    assert [step.id for step in found.link("a").steps] == ["a", "b"]
    assert [step.id for step in found.link("c").steps] == ["c"]


def test_a_wait_ends_its_link() -> None:
    found = plan(
        "name: w\nsteps: [{id: a, action: default}, {id: w, action: wait, with: {seconds: 1}}, {id: b, action: noop}]"
    )
    assert [step.id for step in found.link("a").steps] == ["a", "w"]
    assert found.chain("a") == ["a", "b"]


def test_any_step_can_be_a_head() -> None:
    found = plan(FORK)
    assert [step.id for step in found.link("b").steps] == ["b"]
    assert found.chain("b") == ["b", "c", "d"]


def test_one_path_is_linear_and_a_fork_or_a_jump_is_not() -> None:
    path = "name: p\nsteps: [{id: a, action: default}, {id: b, action: default}]"
    assert plan(path).linear
    assert not plan(FORK).linear
    assert not plan(path.replace("{id: b, action: default}", "{id: b, action: default, join: all_done}")).linear
    jump = path.replace("{id: a, action: default}", "{id: a, action: default, on_error: 'goto:c'}")
    assert not plan(jump.replace("]", ", {id: c, action: default}]")).linear


@pytest.mark.parametrize("links", [1, 8, 100])
def test_a_message_stays_below_32_kb(links: int) -> None:
    steps = [
        {"id": f"a_step_with_quite_a_long_name_{n}", "action": "sleep", "with": {"seconds": 0}} for n in range(links)
    ]
    found = plan(json.dumps({"name": "long", "steps": steps}))
    candidates = [Candidate(uuid7(), -1, str(steps[0]["id"])) for _ in range(MAX_KEYS)]
    chain = compile_chain(candidates, plan=found)
    assert len(orjson.dumps(chain, default=dict)) < 32 * 1024


@pytest.mark.parametrize("name", ["PURE_BATCH_RUNS", "EFFECTFUL_BATCH_RUNS"])
def test_settings_ask_for_no_more_runs_in_a_message_than_it_takes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = str(BASE_DIR / "project" / "settings.py")
    monkeypatch.setenv("IO_THREADS", "1000")
    assert runpy.run_path(settings)[name] == MAX_KEYS
    monkeypatch.setenv(name, str(MAX_KEYS + 1))
    with pytest.raises(ImproperlyConfigured, match=f"{name}=401 is out of bounds; give a whole number from 1 to 400"):
        runpy.run_path(settings)


def configs(*said: str) -> list[object]:
    steps = ", ".join(
        f"{{id: s{number}, action: transform, needs: [], with: {one}}}" for number, one in enumerate(said)
    )
    return [step.config for step in plan(f"name: configs\nsteps: [{steps}]").steps.values()]


def test_steps_with_an_equal_config_share_what_follows_from_it() -> None:
    [first, second, other] = configs("{set: {n: '{{ input.n }}'}}", "{set: {n: '{{ input.n }}'}}", "{set: {}}")
    assert first is second
    assert first is not other


@pytest.mark.parametrize(("one", "other"), [("1", "1.0"), ("1", "true"), ("0", "false"), ("'1'", "1"), ("null", "''")])
def test_configs_whose_values_only_compare_equal_are_not_shared(one: str, other: str) -> None:
    [first, second] = configs(f"{{set: {{n: {one}}}}}", f"{{set: {{n: {other}}}}}")
    assert first is not second


def test_configs_that_differ_in_the_order_of_keys_are_not_shared() -> None:
    [first, second] = configs("{set: {a: 1, b: 2}}", "{set: {b: 2, a: 1}}")
    assert first is not second
