"""Patches of Kombu's Redis transport, for cases in which a lost broker would end a worker, or stop it from consuming.

The patches may lose a message. That is harmless: each message is a knock, and the sweep sends it again.
"""

from __future__ import annotations

import logging
from typing import Any

from django.conf import settings
from kombu import Queue
from kombu.transport import redis, virtual
from redis.exceptions import ResponseError

log = logging.getLogger(__name__)

# The broker answers a BRPOP after up to 1 s, so a consumer's socket timeout must be longer.
_CONSUMER_SOCKET_SECONDS = 5


class PatientQoS(redis.QoS):
    """Kombu's record of unacknowledged messages. Unlike Kombu's own, it is emptied when a connection fails."""

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message; free its prefetch slot even if the broker cannot be reached.

        A slot that is not freed is lost for ever, and a worker without free slots never consumes again. A message that
        was consumed without acknowledgement is unknown to the broker, and nothing is sent for it.
        """
        if not settings.CELERY_ACKS_LATE and delivery_tag not in (self._delivered or ()):
            return
        try:
            super().ack(delivery_tag)
        except Exception as error:
            virtual.QoS.ack(self, delivery_tag)
            if self._given_up():
                # Kombu fails on a client that is None. Celery would take that for a bug of its own and end the worker's
                # main process, so the error is not raised.
                log.warning("message_not_acknowledged", extra={"error": repr(error)})
                return
            raise

    def restore_unacked_once(self, stderr: Any = None) -> None:
        """Return unacknowledged messages to the queue, if the broker can be reached.

        On a lost connection Kombu raises an error that Celery would take for a bug of its own, and end the worker's
        main process. So it is logged instead.
        """
        try:
            super().restore_unacked_once(stderr)
        except Exception as error:
            held: dict[str, Any] = self._delivered or {}
            log.warning("messages_not_given_back", extra={"count": len(held), "error": repr(error)})
            held.clear()

    def _given_up(self) -> bool:
        """Whether the connection over which the messages came is closed already."""
        transport: Any = self.channel.connection
        return transport is None or transport.client is None


def queue() -> Queue:
    """Return the only queue. With early acknowledgement its messages need none: they are consumed with no_ack.

    Otherwise the worker's main process would write each message to the broker's list of unacknowledged ones and delete
    it a moment later. That cost two transactions and half a millisecond per message, to protect a knock that the sweep
    repeats anyway.
    """
    return Queue("runs", no_ack=not settings.CELERY_ACKS_LATE)


def transport() -> dict[str, Any]:
    """Return Kombu's options for the Redis transport."""
    return {
        "global_keyprefix": f"{settings.INSTALLATION_ID}:",
        # Has an effect with late acks only. The message of a step that takes longer is delivered again; that delivery
        # finds no ticket, and writes nothing.
        "visibility_timeout": max(600, settings.STEP_TIMEOUT_SECONDS * 2),
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "socket_timeout": _CONSUMER_SOCKET_SECONDS,
        "socket_connect_timeout": 2,
        "socket_keepalive": True,
        "health_check_interval": 15,
    }


class PublishingChannel(redis.Channel):
    """Uses one client for all messages that it publishes. Kombu creates one per message, a fifth of the whole cost."""

    _publisher: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:
            return super()._create_client(asynchronous=True)  # type: ignore[misc]  # kombu's stubs leave it out
        if self._publisher is None or self._publisher.connection_pool is not self.pool:
            self._publisher = super()._create_client()  # type: ignore[misc]  # as above
        return self._publisher


def mend() -> None:
    """Apply the patches; to be called before this process connects to the broker."""
    redis.Channel.QoS = PatientQoS
    redis.Transport.Channel = PublishingChannel
    # A server that answers with an error has refused for a reason that usually passes: UNBLOCKED and READONLY after a
    # change of roles, MISCONF while its disk is full, OOM, MASTERDOWN, CLUSTERDOWN, NOREPLICAS. redis-py has no classes
    # for most of them, and Celery ends the worker's main process for what it does not know. So each such answer counts
    # as a lost connection: the worker stays, connects again, to the new primary if the name leads there, and consumes.
    # Celery pauses for a second after five connections within one.
    redis.Transport.connection_errors = (*redis.Transport.connection_errors, ResponseError)
