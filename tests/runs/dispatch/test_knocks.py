"""A message that is written from a pattern is the message that Celery would have written."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from celery import current_app, signals

from runs.dispatch import knocks, window
from runs.dispatch.compiler import compile_chain, hard_limit
from runs.domain.candidates import Candidate
from runs.planning import plan as plans
from runs.planning.plan import Plan
from tests.engine import drain, messages
from tests.flows import begun, published, states

pytestmark = pytest.mark.django_db(transaction=True)

PURE = """
name: pure
steps: [{id: a, action: transform, with: {set: {x: 1}}}]
"""
CHAIN = """
name: chain
steps:
  - {id: a, action: sleep, with: {seconds: 0}}
  - {id: b, action: sleep, with: {seconds: 0}, timeout: 5s}
  - {id: c, action: sleep, with: {seconds: 0}}
"""


def plan(text: str) -> Plan:
    return plans.load(published(text).version.pk)


@pytest.fixture(autouse=True)
def no_messages(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # A pattern says which thread wrote it (reply_to), and one that is kept may be another test's thread's.
    monkeypatch.setattr(knocks, "_of_one_link", {})
    messages()
    yield
    messages()


def written() -> list[dict[str, Any]]:
    """What lies in the broker, oldest first, its body decoded; nothing is left there."""
    client, queue = window._client(), window._queue()
    found = []
    while (text := client.rpop(queue)) is not None:
        message = json.loads(text)  # type: ignore[arg-type]  # one text, for one was asked for
        message["body"] = json.loads(base64.b64decode(message["body"]))
        found.append(message)
    return found


def blurred(message: dict[str, Any]) -> Any:
    """The message with a number in the place of each id that it was given, the same for the same."""
    ids = [message["headers"]["id"], message["properties"]["delivery_tag"]]
    ids += [task["options"]["task_id"] for task in message["body"][2]["chain"] or ()]
    assert len(set(ids)) == len(ids)
    text = json.dumps(message)
    for number, one in enumerate(ids):
        text = text.replace(one, f"id {number}")
    return json.loads(text)


@pytest.mark.parametrize("text", [PURE, CHAIN])
@pytest.mark.parametrize("items", [[-1], [-1] * 7, [3, 4]])
def test_it_is_what_celery_writes(text: str, items: list[int]) -> None:
    found = plan(text)
    candidates = [Candidate(uuid4(), item, "a") for item in items]
    compile_chain(candidates, plan=found).apply_async()
    knocks.send([knocks.Knock(found, candidates)])
    by_celery, ours = written()
    assert blurred(ours) == blurred(by_celery)


@pytest.mark.parametrize(
    ("heads", "shown"),
    [(["a", "b"], "head a and 1 other"), (["c", "b", "a", "b"], "head c and 2 others")],
)
@pytest.mark.parametrize("item", [-1, 5])
def test_a_message_to_several_heads_is_one_task_with_the_longest_time_limit(
    heads: list[str], shown: str, item: int
) -> None:
    found, run_id = plan(CHAIN), uuid4()
    candidates = [Candidate(run_id, item, head) for head in heads]
    compile_chain(candidates, plan=found).apply_async()
    knocks.send([knocks.Knock(found, candidates)])
    by_celery, ours = written()
    assert blurred(ours) == blurred(by_celery)
    assert not ours["body"][2]["chain"]
    assert ours["body"][1]["head"] == heads[0]
    assert ours["headers"]["timelimit"] == [hard_limit(found), None]
    assert ours["headers"]["argsrepr"] == f"({len(heads)} steps, first of {run_id})"
    assert ours["headers"]["kwargsrepr"] == shown


def test_no_two_messages_share_an_id_and_they_lie_in_order() -> None:
    found = plan(CHAIN)
    runs = [uuid4() for _ in range(5)]
    knocks.send([knocks.Knock(found, [Candidate(run_id, -1, "a")]) for run_id in runs])
    sent = written()
    assert [UUID(message["body"][0][0][0]) for message in sent] == runs
    ids = [message["headers"]["id"] for message in sent]
    ids += [task["options"]["task_id"] for message in sent for task in message["body"][2]["chain"]]
    ids += [message["properties"]["delivery_tag"] for message in sent]
    assert len(set(ids)) == 5 * 4


def test_a_pattern_that_is_made_within_a_task_has_no_parent() -> None:
    run_id = begun(published(CHAIN.replace("name: chain", "name: after\nlabels: {}")))[0]
    drain()
    assert set(states(run_id).values()) == {"succeeded"}
    found = plan(PURE)

    @current_app.task(name="tests.knocking")
    def knocking() -> None:
        knocks.send([knocks.Knock(found, [Candidate(uuid4(), -1, "a")])])

    knocking.apply()
    [message] = written()
    assert message["headers"]["parent_id"] is None
    assert message["headers"]["root_id"] == message["headers"]["id"]


def test_where_somebody_listens_to_celery_it_publishes_itself() -> None:
    found, run_id = plan(CHAIN), uuid4()
    candidates = [Candidate(run_id, -1, "a"), Candidate(run_id, -1, "b")]
    published_by_celery = []

    def listen(headers: dict[str, Any], **_: Any) -> None:
        published_by_celery.append(headers["id"])

    signals.before_task_publish.connect(listen)
    try:
        knocks.send([knocks.Knock(found, candidates[:1]), knocks.Knock(found, candidates)])
    finally:
        signals.before_task_publish.disconnect(listen)
    chain, mixed = written()
    assert published_by_celery == [chain["headers"]["id"], mixed["headers"]["id"]]
    assert mixed["body"][0] == [[str(run_id), "@b"]]
    assert mixed["headers"]["kwargsrepr"] == "head a and 1 other"


def test_a_plan_keeps_no_more_than_so_many_chains_and_celery_writes_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(knocks, "_MOST_PATTERNS", 1)
    found = plan(CHAIN)
    run_id = uuid4()
    knocks.send([knocks.Knock(found, [Candidate(run_id, -1, head)]) for head in "aba"])
    sent = sorted(written(), key=lambda message: str(message["body"][1]["head"]))
    assert [message["body"][1]["head"] for message in sent] == ["a", "a", "b"]
    assert len(found.patterns) == 1
    compile_chain([Candidate(run_id, -1, "b")], plan=found).apply_async()
    assert blurred(sent[2]) == blurred(written()[0])


def test_any_link_of_any_plan_may_be_alone_in_a_message() -> None:
    first, second = plan(PURE), plan(CHAIN)
    for found, head in ((first, "a"), (second, "c")):
        candidates = [Candidate(uuid4(), -1, head)]
        knocks.send([knocks.Knock(found, candidates)])
        compile_chain(candidates, plan=found).apply_async()
        ours, by_celery = written()
        assert blurred(ours) == blurred(by_celery)
