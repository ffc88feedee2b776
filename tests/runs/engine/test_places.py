"""Workspaces share the places of a worker child: none keeps another waiting, or keeps places that it does not need."""

from __future__ import annotations

import random
from collections.abc import Sequence
from uuid import UUID

import pytest
from django.conf import LazySettings

from runs.domain.candidates import Candidate
from runs.engine import recorder as recorders
from runs.engine import thread_pool
from runs.engine.places import Places
from runs.planning import plan as plans
from tests.engine import deliver, drain, settle
from tests.flows import begun, owner, published, the_run, workspace
from tests.runs.engine.held import FLOW, Held, installed
from tests.waiting import wait_for
from workflows.formats import parse
from workflows.publishing.publish import Published, publish

A, B, C = (UUID(int=number) for number in range(1, 4))


def _filled(places: Places, workspace: UUID, most: int) -> int:
    """How many places it gets, one after the other."""
    return sum(places.take(1, workspace=workspace) for _ in range(most))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 10, 50, 200])
def test_a_workspace_alone_gets_every_place_and_leaves_the_reserve_to_the_next(size: int) -> None:
    for together in (1, size + 10):
        places = Places(size)
        got = sum(places.take(together, workspace=A) for _ in range(-(-2 * size // together)))
        assert got == size
        assert places.free == max(1, size // 5)
        assert places.take(1, workspace=B) == 1


def test_no_places_are_none_for_anybody() -> None:
    places = Places(0)
    assert places.take(1, workspace=A) == 0
    assert places.free == 0


def test_places_that_become_free_go_to_who_has_fewer_than_its_share() -> None:
    places = Places(50)
    assert _filled(places, A, 100) == 50
    assert _filled(places, B, 100) == 10
    for _ in range(50):
        places.give_back(1, workspace=A)
        # Both want every place that is there, and the one that has more asks first.
        mine = places.take(1, workspace=A)
        theirs = places.take(1, workspace=B)
        assert mine + theirs == 1
    assert places.free == 0
    assert _held(places) == {A: 30, B: 30}


def test_who_needs_little_leaves_the_rest_to_others() -> None:
    places = Places(50)
    assert _filled(places, A, 100) == 50
    assert _filled(places, B, 2) == 2
    places.give_back(10, workspace=A)
    assert _filled(places, A, 100) == 8
    assert _held(places) == {A: 48, B: 2}
    assert places.free == 10


def test_a_third_one_finds_a_place_too() -> None:
    places = Places(50)
    _filled(places, A, 100)
    _filled(places, B, 5)
    assert _filled(places, C, 100) == 5
    places.give_back(20, workspace=A)
    assert _filled(places, A, 100) == 10, "above its share of 20, it leaves the reserve alone"
    assert _filled(places, C, 100) == 10
    assert places.free == 0


def test_whatever_is_taken_and_given_back_the_sum_is_right_and_a_new_one_is_served_soon() -> None:
    chance = random.Random(7)
    for size in (1, 3, 50):
        places = Places(size)
        total = places.free
        for _ in range(3000):
            workspace = chance.choice((A, B, C))
            held = _held(places).get(workspace, 0)
            if held and chance.random() < 0.5:
                places.give_back(chance.randint(1, held), workspace=workspace)
            else:
                wanted = chance.randint(0, size + 2)
                assert 0 <= places.take(wanted, workspace=workspace) <= wanted
            assert places.free >= 0
            assert places.free + sum(_held(places).values()) == total
            assert all(count <= size for count in _held(places).values())


def _held(places: Places) -> dict[UUID | None, int]:
    return dict(places._held)


# -- in the engine -----------------------------------------------------------------------------------------------------


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch, settings: LazySettings, transactional_db: None) -> object:
    settings.IO_THREADS, settings.SLOW_STEPS = 4, 2
    with installed(monkeypatch):
        yield


def _elsewhere(text: str, name: str = "elsewhere") -> Published:
    return publish(parse.load(text).document, workspace=workspace(name), owner=owner())


def _all_end(runs: Sequence[UUID]) -> None:
    """Perform until these runs have succeeded: those that found no place come back within a second."""

    def ended() -> bool:
        drain()
        return {the_run(run_id).state for run_id in runs} == {"succeeded"}

    wait_for(ended, what="the end of the runs", timeout_seconds=60)
    settle()


@pytest.mark.usefixtures("held")
def test_a_run_of_another_workspace_is_performed_beside_a_flood_that_holds_every_place() -> None:
    flood = begun(published(FLOW), *[{"hold": True}] * 30)
    for _ in range(3):
        deliver()
    wait_for(lambda: Held.now == 4 + 2, what="all places of one workspace in use")
    [other] = begun(_elsewhere(FLOW), {"hold": False})
    deliver()
    wait_for(lambda: the_run(other).state == "succeeded", what="the end of the other workspace's run")
    assert Held.now == 4 + 2
    assert {the_run(run_id).state for run_id in flood} == {"running"}
    Held.let_go.set()
    _all_end(flood)
    assert thread_pool.current().free == (4 + 1, 2 + 1)


@pytest.mark.usefixtures("held")
def test_slow_steps_of_another_workspace_find_places_too() -> None:
    begun(published(FLOW), *[{"hold": True}] * 30)
    for _ in range(3):
        deliver()
    wait_for(lambda: Held.now == 6, what="all places of one workspace in use")
    flow = _elsewhere(FLOW)
    [slow] = begun(flow, {"hold": True})
    deliver()
    wait_for(lambda: Held.now == 7, what="a slow step of another workspace under way")
    [quick] = begun(flow, {"hold": False})
    deliver()
    wait_for(lambda: the_run(quick).state == "succeeded", what="the end of a quick one beside it")
    assert the_run(slow).state == "running"
    Held.let_go.set()
    _all_end([slow])


@pytest.mark.usefixtures("held")
def test_what_one_workspace_has_kept_for_a_place_takes_no_room_from_another() -> None:
    mine, theirs = (plans.load(flow.version.pk) for flow in (published(FLOW), _elsewhere(FLOW)))
    assert mine.workspace_id == workspace().pk
    recorder = recorders.Recorder()
    recorder._kept.append(recorders._Kept(0.0, mine, [Candidate(A, -1, "a")] * recorders._MOST_KEPT))
    assert recorder._room(mine.workspace_id) == 0
    assert recorder._room(theirs.workspace_id) == recorders._MOST_KEPT
    recorder._kept += recorder._kept * 3
    assert recorder._room(theirs.workspace_id) == 0
