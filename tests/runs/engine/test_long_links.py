"""While several workspaces have work, one child of a worker is kept free of links that compute for long."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar
from uuid import UUID, uuid4

import pytest
from django.db import connection

from actions import registry
from actions.base import Action, Config, Context, Json
from runs.dispatch import window
from runs.engine import long_links, now_inline
from runs.models import StepRun, Ticket
from tests.engine import deliver, drain, messages
from tests.flows import begun, owner, published, the_run, workspace
from tests.waiting import wait_for
from workflows.formats import parse
from workflows.publishing.publish import Published, publish

pytestmark = pytest.mark.django_db(transaction=True)

PURE = "name: pure\nsteps: [{id: a, action: default}]"
# How a workspace can keep a child's own thread: pure links, branches, items, the list of a for_each step, the steps
# behind an effect, and transactional steps.
WAYS = {
    "pure": PURE,
    "branches": "name: branches\nsteps: [{id: b, action: default}, {id: c, needs: [], action: default}]",
    "items": "name: items\nsteps: [{id: a, for_each: {items: [1, 2, 3]}, action: default}]",
    "list": "name: list\nsteps: [{id: a, for_each: {items: [1]}, action: sleep, with: {seconds: 0}}]",
    "behind": "name: behind\nsteps: [{id: a, action: sleep, with: {seconds: 0}}, {id: b, action: default}]",
    "transactional": "name: booking\nsteps: [{id: a, action: booking}, {id: b, action: booking}]",
}


class Booking(Action[Config]):
    """A transactional step that takes no time."""

    name: ClassVar[str] = "booking"
    transactional: ClassVar[bool] = True
    config_class: ClassVar[type[Config]] = Config

    def perform(self, config: Config, context: Context) -> Json:
        return None


class Busy(Action[Config]):
    """A pure step that computes for longer than a link should."""

    name: ClassVar[str] = "busy"
    pure: ClassVar[bool] = True
    config_class: ClassVar[type[Config]] = Config

    def perform(self, config: Config, context: Context) -> Json:
        ends = time.monotonic() + 1.2 * long_links.LONG_SECONDS
        while time.monotonic() < ends:
            pass
        return None


def _forget() -> None:
    long_links._shared[:] = bytes(len(long_links._shared))


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in a worker that has just begun, with an empty broker."""
    for action in (Booking, Busy):
        monkeypatch.setitem(registry.ACTIONS, action.name, f"{__name__}.{action.__name__}")
    _forget()
    messages()
    window.forget()
    yield
    _forget()


def _theirs(text: str = PURE) -> Published:
    return publish(parse.load(text).document, workspace=workspace("other"), owner=owner())


def _heavy() -> UUID:
    """The default workspace, known for links of ten seconds in a worker of two children; another one has work too."""
    mine = workspace().pk
    long_links.count(2)
    long_links.seen(workspace("other").pk)
    long_links.seen(mine)
    long_links.took(mine, 10.0)
    return mine


@contextmanager
def _another_child(of: UUID | None, *, beats: bool = False) -> Iterator[int]:
    """Another child, which performs a link of this workspace for as long as the block."""
    connection.close()
    pid = os.fork()
    if pid == 0:
        try:
            if long_links.begin(of):
                now_inline.begin(1, uuid4(), of)
                while beats:
                    time.sleep(long_links.LONG_SECONDS)
                    long_links.beat()
                signal.pause()
        finally:
            os._exit(0)
    try:
        wait_for(lambda: now_inline.of(pid), what="the other child at its link")
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.mark.parametrize("way", WAYS)
def test_the_last_child_leaves_long_links_to_the_others_and_performs_what_other_workspaces_have(way: str) -> None:
    mine, theirs = published(WAYS[way]), _theirs()
    with _another_child(_heavy()):
        [held] = begun(mine)
        [other] = begun(theirs)
        deliver()
        assert the_run(other).state == "succeeded", "while the other child is still at its link"
        assert the_run(held).state == "running"
        assert Ticket.objects.filter(run_id=held, suspect=False).exists(), "it is due again"
        left_to_others = StepRun.objects.filter(run_id=held).exclude(step="a", state="succeeded")
        assert not left_to_others.exists(), "nothing but an effect was performed"
    # However that child ended, the kernel has given back its place.
    wait_for(lambda: _ended(held), what="the end of the run that was handed back")


def test_nothing_is_handed_back_where_it_would_only_idle() -> None:
    flow = published(PURE)

    def runs() -> bool:
        [run_id] = begun(flow)
        deliver()
        return the_run(run_id).state == "succeeded"

    with _another_child(_heavy()):
        assert not runs()
        long_links.count(3)
        assert runs(), "of three children, two may"
        long_links.count(1)
        assert runs(), "of one child nothing is kept free: somebody must perform the links"
        _heavy()
        long_links._SLOT.pack_into(long_links._shared, long_links._OTHER, workspace("other").pk.bytes, 0.0)
        assert runs(), "nobody else has had work lately"
        _forget()
        _heavy()
        known = long_links._slot(workspace().pk.bytes)
        long_links._SLOT.pack_into(long_links._shared, known, workspace().pk.bytes, time.monotonic())
        assert runs(), "its last long link is long ago"


def test_a_workspace_is_known_once_a_link_of_it_took_long_and_for_ten_times_as_long() -> None:
    mine = workspace().pk
    begun(published("name: quick\nsteps: [{id: a, action: default}]"))
    deliver()
    assert _known_for(mine) == 0.0
    [run_id] = begun(published("name: busy\nsteps: [{id: a, action: busy}]"))
    deliver()
    assert the_run(run_id).state == "succeeded"
    assert _known_for(mine) > 5 * long_links.LONG_SECONDS
    long_links.took(mine, 30.0)
    long_links.took(mine, 0.5)
    assert 200 < _known_for(mine) <= 300, "a shorter one does not end it earlier"
    assert _known_for(workspace("other").pk) == 0.0


def test_a_link_that_nobody_knew_is_known_and_has_its_lock_before_it_ends() -> None:
    mine, other = workspace().pk, workspace("other").pk
    long_links.count(2)
    long_links.seen(other)
    long_links.seen(mine)
    with _another_child(mine, beats=True):
        wait_for(lambda: _known_for(mine) > 0, what="the link to take long")
        assert not long_links.begin(mine), "the other child has the only lock by now"
        assert long_links.begin(other)
        long_links.end()
    assert long_links.begin(mine)
    assert not _in_another_process(lambda: long_links.begin(mine))
    long_links.end()
    assert _in_another_process(lambda: long_links.begin(mine))
    assert long_links.begin(other), "nobody knows it for long links"
    long_links.took(other, 5.0)
    assert not _in_another_process(lambda: long_links.begin(mine)), "it got the lock when it turned out to be one"
    long_links.end()


def test_who_else_had_work_is_the_last_workspace_that_is_another_one() -> None:
    now, one, two = time.monotonic(), *(UUID(int=number).bytes for number in (1, 2))
    assert not long_links._others(one, since=0.0)
    long_links.seen(UUID(bytes=one))
    long_links.seen(UUID(bytes=one))
    assert not long_links._others(one, since=now - 1)
    assert long_links._others(two, since=now - 1)
    long_links.seen(UUID(bytes=two))
    long_links.seen(UUID(bytes=two))
    assert long_links._others(one, since=now - 1)
    assert long_links._others(two, since=now - 1)
    assert not long_links._others(two, since=time.monotonic() + 1)


def _in_another_process(asks: Callable[[], bool]) -> bool:
    connection.close()
    pid = os.fork()
    if pid == 0:
        os._exit(0 if asks() else 1)
    return os.waitpid(pid, 0)[1] == 0


def _ended(run_id: UUID) -> bool:
    drain()
    return the_run(run_id).state == "succeeded"


def _known_for(workspace_id: UUID) -> float:
    """For how many more seconds a workspace is known."""
    known, until = long_links._SLOT.unpack_from(long_links._shared, long_links._slot(workspace_id.bytes))
    return max(0.0, float(until) - time.monotonic()) if known == workspace_id.bytes else 0.0
