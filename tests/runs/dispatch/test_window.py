"""When a start sends by itself, and when it leaves that to the deliveries that are still to come."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
from django.conf import LazySettings
from django.db import transaction

from project.stack import ports, valkey
from project.stack.children import Child
from runs.dispatch import window
from tests.engine import deliver, messages, state
from tests.flows import begun, published, queued
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

PURE = "name: pure\nsteps: [{id: a, action: default}]"


def test_a_start_behind_a_quarter_of_a_window_waits_for_the_deliveries_before_it(settings: LazySettings) -> None:
    settings.DISPATCH_WINDOW_MESSAGES = 8
    messages()
    window.forget()
    flow = published(PURE)
    runs = [begun(flow, {"n": n})[0] for n in range(6)]
    assert [state(run_id) for run_id in runs] == ["running"] * 3 + ["queued"] * 3
    # No sweep and no other dispatch: what is delivered sends them, all in one message.
    assert deliver() == 3
    assert deliver() == 1
    assert {state(run_id) for run_id in runs} == {"succeeded"}


def test_a_start_behind_queued_runs_leaves_them_and_itself_to_who_takes_them(settings: LazySettings) -> None:
    messages()
    window.forget()
    flow = published(PURE)
    [first] = queued(flow, {"n": 0})
    window.forget()
    [second] = begun(flow, {"n": 1})
    assert [state(first), state(second)] == ["queued", "queued"]
    assert messages() == []
    with transaction.atomic():
        [third] = begun(flow, {"n": 2})
    assert deliver() == 1, "a transaction may have lasted long: who waited before it need not wait any more"
    assert {state(run_id) for run_id in (first, second, third)} == {"succeeded"}


def test_a_push_finds_the_new_primary_behind_the_broker_s_name(tmp_path: Path, settings: LazySettings) -> None:
    home = [tmp_path / "old", tmp_path / "new"]
    servers = [valkey.prepare(one, port=ports.free()) for one in home]
    children = [Child(one.command(log=tmp_path / "log", settings=valkey.FORGETTING)) for one in servers]
    try:
        for one in servers:
            wait_for(one.answers, what="the Valkey")
        old, new = (redis.Redis.from_url(one.url) for one in servers)
        settings.REDIS_URL = servers[0].url
        window.forget()
        window.push(["first"])
        old.replicaof(ports.HOST, servers[1].port)
        old.config_set("port", ports.free())
        new.config_set("port", servers[0].port)
        with pytest.raises(redis.RedisError):
            window.push(["refused"])
        window._pause.until = 0.0  # as if a second had passed
        window.push(["second"])
        assert new.lrange(window._queue(), 0, -1) == [b"second"]
    finally:
        for child in children:
            child.process.kill()
            child.process.wait(60)
        window.forget()


def test_a_fork_has_a_connection_to_the_broker_of_its_own() -> None:
    client = window._client()
    assert client.ping()
    child = os.fork()
    if not child:
        os._exit(0 if window._client() is not client and window._client().ping() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert window._client() is client
    assert client.ping()


def test_starts_one_after_the_other_never_use_an_idle_window_up(settings: LazySettings) -> None:
    settings.DISPATCH_WINDOW_MESSAGES = 8
    messages()
    window.forget()
    flow = published(PURE)
    for number in range(6):
        window._last.asked = 0.0  # it was asked a while ago
        [run_id] = begun(flow, {"n": number})
        assert state(run_id) == "running"
        assert deliver() == 1


def test_a_start_does_not_ask_again_what_it_knew_a_moment_ago(
    settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DISPATCH_WINDOW_MESSAGES = 8
    monkeypatch.setattr(window, "_MOMENT_SECONDS", 60.0)
    monkeypatch.setattr(window, "_FRESH_SECONDS", 60.0)
    messages()
    window.forget()
    flow = published(PURE)
    runs = [begun(flow, {"n": n})[0] for n in range(4)]
    asked: list[str] = []
    client = window._client()
    ask = client.llen

    def watched(name: str) -> object:
        asked.append(name)
        return ask(name)

    monkeypatch.setattr(client, "llen", watched)
    runs += [begun(flow, {"n": n})[0] for n in range(4, 9)]
    assert asked == []
    assert deliver() == 3
    assert deliver() == 1
    assert {state(run_id) for run_id in runs} == {"succeeded"}


@pytest.fixture
def alone(settings: LazySettings, tmp_path: Path) -> Iterator[Child]:
    """A broker that no other test uses, and which this process asks."""
    server = valkey.prepare(tmp_path / "valkey", port=ports.free())
    child = Child(server.command(log=tmp_path / "valkey.log", settings=valkey.FORGETTING))
    wait_for(server.answers, what="the Valkey")
    settings.REDIS_URL = server.url
    window.forget()
    assert window.room()
    yield child
    child.process.kill()
    child.process.wait(60)
    window.forget()


def test_a_connection_that_was_closed_while_idle_is_opened_anew(
    alone: Child, settings: LazySettings, caplog: pytest.LogCaptureFixture
) -> None:
    assert alone.process.poll() is None
    with redis.Redis.from_url(settings.REDIS_URL) as other:
        other.client_kill_filter(skipme=True, _type="normal")
    assert window.room()
    assert not caplog.records


def test_of_many_threads_one_waits_for_a_broker_that_hangs(
    alone: Child, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(window, "_PAUSE_SECONDS", 60.0)  # longer than eight threads need on a busy machine
    alone.process.send_signal(signal.SIGSTOP)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: window.room(), range(8))) == [0] * 8
    alone.process.send_signal(signal.SIGCONT)
    waited = [record for record in caplog.records if "a moment ago" not in str(record.__dict__["error"])]
    assert len(waited) == 1
    window.forget()
    assert window.room()
