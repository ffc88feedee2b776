"""A record in a big graph reads a few rows of its run, and comes to what it would come to if it read them all."""

from __future__ import annotations

import random

import pytest

from runs.control import retries
from runs.domain import actor
from runs.engine import marks
from runs.queries.database import observed
from tests.engine import drain
from tests.flows import begun, published, states, the_run

pytestmark = pytest.mark.django_db(transaction=True)

JOINS = ("all_succeeded", "none_failed", "all_done", "any_succeeded", "any_failed")
ACTOR = actor.Actor(reason="mended")


@pytest.fixture
def _in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marks, "WHOLE_STEPS", 0)


def flow(seed: int) -> str:
    """A random graph with all joins, branches that are not taken, failures that are handled, and jumps."""
    chance = random.Random(seed)
    lines = [f"name: views-{seed}", "steps:"]
    for number in range(14):
        before = [f"s{n}" for n in range(max(0, number - 6), number)]
        words = [
            f"id: s{number}",
            f"needs: [{', '.join(chance.sample(before, min(len(before), chance.randint(0, 3))))}]",
        ]
        words.append(
            "join: " + chance.choice(["all_succeeded", "none_failed", "all_done", "any_succeeded", "any_failed"])
        )
        if chance.random() < 0.2:
            words.append('if: "input.no"')
        fails = chance.random() < 0.25
        words.append("action: fail, retry: {max_attempts: 1}" if fails else "action: default")
        if fails and chance.random() < 0.6:
            words.append(f"on_error: {chance.choice(['continue', 'goto:target'])}")
        lines.append(f"  - {{{', '.join(words)}}}")
    lines.append("  - {id: target, action: default}")
    text = "\n".join(lines)
    return text if "goto:" in text else text.replace("  - {id: target, action: default}", "")


@pytest.mark.parametrize("seed", range(8))
def test_a_big_graph_comes_to_the_same_as_a_small_one(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found = published(flow(seed))
    [whole] = begun(found, {"no": False})
    drain()
    monkeypatch.setattr(marks, "WHOLE_STEPS", 0)
    [part] = begun(found, {"no": False})
    drain()
    assert states(part) == states(whole)
    assert the_run(part).state == the_run(whole).state


@pytest.mark.usefixtures("_in_part")
def test_a_branch_that_comes_again_holds_up_nothing_that_went_past_it() -> None:
    found = published(
        """
name: past
steps:
  - {id: root, action: default}
  - {id: a, needs: [root], action: fail, retry: {max_attempts: 1}}
  - {id: b, needs: [root], action: default}
  - {id: late, needs: [a, b], join: any_succeeded, action: default}
  - {id: end, needs: [a, late], join: all_done, action: default}
"""
    )
    [run_id] = begun(found)
    drain()
    ended = {"root": "succeeded", "a": "failed", "b": "succeeded", "late": "succeeded", "end": "succeeded"}
    assert states(run_id) == ended
    assert retries.retry([run_id], actor=ACTOR) == {run_id}
    drain()
    assert (the_run(run_id).state, states(run_id)) == ("failed", ended)


@pytest.mark.usefixtures("_in_part")
def test_a_wide_run_is_read_whole_no_more_often_than_a_narrow_one() -> None:
    # When its root ends, its last branch, and its join.
    assert [_whole_views(width) for width in (5, 30)] == [3, 3]


def _whole_views(width: int) -> int:
    branches = "\n".join(f"  - {{id: b{n}, needs: [root], action: default}}" for n in range(width))
    names = ", ".join(f"b{n}" for n in range(width))
    text = f"name: wide{width}\nsteps:\n  - {{id: root, action: default}}\n{branches}\n"
    [run_id] = begun(published(f"{text}  - {{id: join, needs: [{names}], action: default}}"))
    with observed() as seen:
        drain()
    assert the_run(run_id).state == "succeeded"
    return seen.count("view")


@pytest.mark.parametrize(
    "looks",
    [
        'action: condition, with: {expression: "steps.a.output.n == 3"}',
        'action: transform, with: {map: {n: "steps.a.output.n"}}',
    ],
)
def test_an_expression_without_braces_sees_the_steps_that_it_names(looks: str) -> None:
    found = published(
        f"""
name: bare
steps:
  - {{id: a, action: transform, with: {{set: {{n: 3}}}}}}
  - {{id: b, action: sleep, with: {{seconds: 0}}}}
  - {{id: c, {looks}}}
"""
    )
    [run_id] = begun(found)
    drain()
    assert the_run(run_id).output in ({"result": True}, {"n": 3})
