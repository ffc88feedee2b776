"""An edited input is refused where no part of the step reads it; the refusal says what does, and what helps."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from actions.base import Json
from runs.control import dead_letters, preconditions, retries
from runs.domain.actor import Actor
from runs.models import DeadLetter
from tests.engine import drain
from tests.flows import begun, published, the_run
from tests.runs.doors import admin

pytestmark = pytest.mark.django_db(transaction=True)

_FIRST = "  - {id: a, action: transform, with: {set: {code: 7, host: h}}}\n"


def failing(step: str) -> DeadLetter:
    """The dead letter of step `b`, which comes after `a`."""
    [run_id] = begun(published(f"name: fails\nsteps:\n{_FIRST}  - {step}\n"), {"who": "w"})
    drain()
    assert the_run(run_id).state == "failed"
    return DeadLetter.objects.get(run_id=run_id)


def actor() -> Actor:
    return Actor(None, "typo")


UNREAD: list[tuple[str, str, str, Json, list[str]]] = [
    (
        "the run's input and another step",
        "fail",
        '{message: "{{ input.who }} {{ steps.a.output.code }}"}',
        {"who": "x"},
        ["reads nothing of its own input", "with.message reads the run's input (input.who)", "reads step 'a'"],
    ),
    ("no expression at all", "fail", "{message: stop}", {"message": "x"}, ["reads nothing of its own input"]),
    ("a default", "fail", '{message: "{{ input.x|default(run.id) }}"}', {"x": 1}, ["the run's input and the run"]),
    ("another key than those that are read", "fail", '{message: "{{ code }}"}', {"who": 1}, ["reads only code of its"]),
    ("no object where keys are read", "fail", '{message: "{{ code }}"}', [1], ["reads only code of its own input"]),
]


@pytest.mark.parametrize(
    ("action", "config", "given", "said"), [one[1:] for one in UNREAD], ids=[one[0] for one in UNREAD]
)
def test_an_input_that_nothing_reads_is_refused(action: str, config: str, given: Json, said: list[str]) -> None:
    letter = failing(f"{{id: b, action: {action}, with: {config}}}")
    assert not dead_letters.retry([letter.pk], actor=actor(), given=given)
    assert not retries.retry([letter.run_id], actor=actor(), inputs={(letter.run_id, "b"): given})
    assert the_run(letter.run_id).state == "failed"
    for why_not in (
        preconditions.cannot_retry(letter.run_id, "failed", edited={"b": given}),
        preconditions.cannot_retry_dead_letter(letter, given=given),
    ):
        assert all(part in why_not for part in said), why_not
        assert "replay the run from step 'b' with another run input" in why_not
    assert retries.retry([letter.run_id], actor=actor()), "a retry with the same input is another matter"


@pytest.mark.parametrize(
    ("step", "given"),
    [
        ('{id: b, action: fail, with: {message: "{{ code }}"}}', {"code": 1}),
        ('{id: b, action: fail, if: "host", with: {message: stop}}', {"host": ""}),
        ('{id: b, action: fail, with: {message: "{{ input.who ~ (code + 1) }}"}}', {"code": 1}),
        ("{id: b, action: transform, with: {select: [nothing]}}", {"nothing": 1}),
        ("{id: b, action: transform, with: {rename: {nothing: x}}}", {"nothing": 1}),
        ('{id: b, action: transform, with: {map: {x: "nothing"}}}', {"nothing": 1}),
        ("{id: b, action: sub_workflow, with: {workflow: nowhere}}", [1]),
        ('{id: b, action: transform, for_each: {items: "{{ code }}"}, with: {set: {x: 1}}}', {"code": [1]}),
    ],
)
def test_an_input_that_something_reads_is_taken(step: str, given: Json) -> None:
    letter = failing(step)
    assert preconditions.can_edit(letter)
    assert dead_letters.retry([letter.pk], actor=actor(), given=given)


def test_the_page_shows_what_is_read_and_offers_what_helps() -> None:
    letter = failing('{id: b, action: fail, with: {message: "{{ code }} for {{ input.who }}"}}')
    client = admin()
    page = client.get(f"/admin/runs/deadletter/{letter.pk}/change/").content.decode()
    assert f"/admin/runs/deadletter/{letter.pk}/edit/" in page
    assert f"/admin/runs/run/{letter.run_id}/replay/?step=b" in page
    edit = client.get(f"/admin/runs/deadletter/{letter.pk}/edit/").content.decode()
    assert "<td>with.message</td><td><code>code</code></td><td>the step&#x27;s own input</td>" in edit
    assert "<td>with.message</td><td><code>input.who</code></td><td>the run&#x27;s input</td>" in edit
    said = client.post(f"/admin/runs/deadletter/{letter.pk}/edit/", {"input": '{"who": "x"}'}).content.decode()
    assert "reads only code of its own input" in said


def test_the_page_offers_no_edit_that_would_change_nothing() -> None:
    letter = failing('{id: b, action: fail, with: {message: "{{ input.who }}"}}')
    client = admin()
    page = client.get(f"/admin/runs/deadletter/{letter.pk}/change/").content.decode()
    assert f"/admin/runs/deadletter/{letter.pk}/edit/" not in page
    assert f"/admin/runs/run/{letter.run_id}/replay/?step=b" in page
    said: Any = client.get(f"/admin/runs/deadletter/{letter.pk}/edit/", follow=True).content.decode()
    assert "reads nothing of its own input" in said


def test_a_replay_page_begins_with_the_old_input_and_keeps_types() -> None:
    letter = failing("{id: b, action: fail, with: {message: stop}}")
    client = admin()
    address = f"/admin/runs/run/{letter.run_id}/replay/?step=b"
    assert '<option value="b" selected>' in client.get(address).content.decode()
    answer = client.post(address, {"step": "b", "version": "same", "input": '{"who": true}', "why": ""})
    assert answer.status_code == 302
    new = the_run(UUID(answer.headers["Location"].split("/")[-3]))
    assert new.input == {"who": True}
    assert client.post(address, {"step": "zzz", "version": "same", "input": ""}).status_code == 200
