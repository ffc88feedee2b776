"""A worker's connection to the broker, when the broker goes away in the middle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from kombu import Connection

from project.broker import PatientQoS, queue
from project.stack import ports, valkey
from project.stack.children import Child
from tests.waiting import wait_for


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[tuple[Child, str]]:
    """A Valkey to be killed, and its URL."""
    server = valkey.prepare(tmp_path / "valkey", port=ports.free())
    child = Child(server.command(log=tmp_path / "valkey.log", settings=valkey.FORGETTING))
    wait_for(server.answers, what="the Valkey")
    yield child, server.url
    child.process.kill()
    child.process.wait(60)


def taken(connection: Connection) -> Any:
    """A message that is fetched and not acknowledged, on a channel with one slot."""
    queue = connection.SimpleQueue("q")
    queue.put("x")
    message: Any = queue.get(timeout=30)
    message.channel.qos.prefetch_count = 1
    assert not message.channel.qos.can_consume()
    return message


def test_an_acknowledgement_that_the_broker_does_not_hear_frees_its_slot(broker: tuple[Child, str]) -> None:
    child, url = broker
    with Connection(url) as connection:
        message = taken(connection)
        assert isinstance(message.channel.qos, PatientQoS)
        child.process.kill()
        child.process.wait(60)
        with pytest.raises(Exception, match=r"onnect|closed"):
            message.ack()
        assert message.channel.qos.can_consume()


@pytest.mark.parametrize("closed", [True, False], ids=["its channel closed", "its channel still open"])
def test_an_acknowledgement_over_a_connection_that_was_given_up_is_no_error(
    broker: tuple[Child, str], settings: LazySettings, *, closed: bool
) -> None:
    settings.CELERY_ACKS_LATE = True
    child, url = broker
    connection = Connection(url)
    message = taken(connection)
    child.process.kill()
    child.process.wait(60)
    if closed:
        connection.close()
    else:
        connection._do_close_transport()
        message.channel.pool.disconnect()
        message.channel._disconnect_pools()
    message.ack()
    assert message.channel.qos.can_consume()


def test_messages_that_cannot_be_given_back_end_nothing(broker: tuple[Child, str]) -> None:
    child, url = broker
    with Connection(url) as connection:
        qos = taken(connection).channel.qos
        child.process.kill()
        child.process.wait(60)
        qos.restore_unacked_once()
        assert qos.can_consume()


def test_a_message_that_is_taken_without_acknowledgement_is_nowhere_in_the_broker(broker: tuple[Child, str]) -> None:
    _, url = broker
    with Connection(url) as connection:
        channel: Any = connection.default_channel
        found: list[Any] = []
        with connection.Consumer(queue(), callbacks=[lambda _, message: found.append(message)]):
            connection.Producer().publish("x", routing_key="runs", declare=[queue()])
            while not found:
                connection.drain_events(timeout=30)
            assert channel.client.keys("unacked*") == []
            found[0].ack()
            assert channel.client.keys("unacked*") == []
        assert channel.qos.can_consume()


def test_with_late_acknowledgement_a_message_stays_in_the_broker_until_then(settings: LazySettings) -> None:
    assert queue().no_ack
    settings.CELERY_ACKS_LATE = True
    assert not queue().no_ack
