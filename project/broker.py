"""Kombu's Redis transport, mended where a broker that goes away leaves a worker dead, or alive and consuming nothing.

What is lost on the way is only a knock: tickets are knocked for again.
"""

from __future__ import annotations

import logging
from typing import Any

from django.conf import settings
from kombu import Queue
from kombu.transport import redis, virtual
from redis.exceptions import OutOfMemoryError

log = logging.getLogger(__name__)

# The broker's answer to BRPOP takes up to 1 s, so a consumer may not give up before.
_CONSUMER_SOCKET_SECONDS = 5


class PatientQoS(redis.QoS):
    """The consumer's unacknowledged messages, which outlive no failing connection."""

    def ack(self, delivery_tag: str) -> None:
        """Free the message's slot even where the broker does not hear of it.

        It would be taken for ever otherwise, and a worker whose slots are all taken never consumes again. Of a message
        that was taken without acknowledgement the broker knows nothing.
        """
        if not settings.CELERY_ACKS_LATE and delivery_tag not in (self._delivered or ()):
            return
        try:
            super().ack(delivery_tag)
        except Exception as error:
            virtual.QoS.ack(self, delivery_tag)
            if self._given_up():
                # Kombu then meets a None, which Celery takes for an error of its own, and the main process ends.
                log.warning("message_not_acknowledged", extra={"error": repr(error)})
                return
            raise

    def restore_unacked_once(self, stderr: Any = None) -> None:
        """Give messages back where that can be done.

        On a connection that is lost already kombu raises what Celery takes for an error of its own, and the worker's
        main process ends.
        """
        try:
            super().restore_unacked_once(stderr)
        except Exception as error:
            held: dict[str, Any] = self._delivered or {}
            log.warning("messages_not_given_back", extra={"count": len(held), "error": repr(error)})
            held.clear()

    def _given_up(self) -> bool:
        """Whether the connection that the messages came by is closed already."""
        transport: Any = self.channel.connection
        return transport is None or transport.client is None


def queue() -> Queue:
    """The one queue. Where messages are acknowledged early, they are not acknowledged at all.

    To write each one down in the broker, and out again a moment later, took the worker's main process two transactions,
    and half a millisecond before it looked at the message, to keep a knock that the sweep repeats anyway.
    """
    return Queue("runs", no_ack=not settings.CELERY_ACKS_LATE)


def transport() -> dict[str, Any]:
    """Kombu's options for the Redis transport."""
    return {
        "global_keyprefix": f"{settings.INSTALLATION_ID}:",
        # Counts with late acks only: a longer step is delivered again, which finds no ticket and wins nothing.
        "visibility_timeout": max(600, settings.STEP_TIMEOUT_SECONDS * 2),
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "socket_timeout": _CONSUMER_SOCKET_SECONDS,
        "socket_connect_timeout": 2,
        "socket_keepalive": True,
        "health_check_interval": 15,
    }


class PublishingChannel(redis.Channel):
    """Makes one client for what it publishes, instead of one for each message: that was a fifth of its cost."""

    _publisher: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:
            return super()._create_client(asynchronous=True)  # type: ignore[misc]  # kombu's stubs leave it out
        if self._publisher is None or self._publisher.connection_pool is not self.pool:
            self._publisher = super()._create_client()  # type: ignore[misc]  # as above
        return self._publisher


def mend() -> None:
    """Before the first connection of this process."""
    redis.Channel.QoS = PatientQoS
    redis.Transport.Channel = PublishingChannel
    # A full broker is one that is away: wait and connect again, instead of ending.
    redis.Transport.connection_errors = (*redis.Transport.connection_errors, OutOfMemoryError)
