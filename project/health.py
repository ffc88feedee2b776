"""The view of `/health`: 200 if PostgreSQL and the broker answer, else 503."""

from __future__ import annotations

from collections.abc import Callable

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

_BROKER_SECONDS = 1.0


def database_answers() -> bool:
    """Whether the database executes a statement. A broken connection is closed, and the next call opens a new one."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        connection.close()
        return False
    return True


def broker_answers() -> bool:
    """Whether the broker answers a PING within a second."""
    client = redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=_BROKER_SECONDS, socket_connect_timeout=_BROKER_SECONDS
    )
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


_PROBES: dict[str, Callable[[], bool]] = {"database": database_answers, "broker": broker_answers}


@never_cache
@require_safe
def health(_: HttpRequest) -> JsonResponse:
    """Return `ok` or `away` for each server. No login is needed, because the response has no other information."""
    results = {name: probe() for name, probe in _PROBES.items()}
    body = {name: "ok" if answers else "away" for name, answers in results.items()}
    healthy = all(results.values())
    return JsonResponse({"status": "ok" if healthy else "away", **body}, status=200 if healthy else 503)
