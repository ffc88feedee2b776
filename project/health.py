"""The view of `/health`: 200 if PostgreSQL and the broker can be written to, else 503."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import redis
from django.conf import settings
from django.db import Error, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

_BROKER_SECONDS = 1.0
# The key that the probe writes in the broker, behind the installation's prefix; it vanishes by itself.
_KEY = "health"
_KEY_SECONDS = 60

# `refuses`: the server answers, and may not be written to.
Result = Literal["ok", "refuses", "away"]


def database_result() -> Result:
    """Ask the database whether a transaction may write; a standby's may not.

    A broken connection is closed, and the next call opens a new one.
    """
    try:
        with connection.cursor() as cursor:
            cursor.execute("SHOW transaction_read_only")
            [read_only] = cursor.fetchone()
    except Error:
        connection.close()
        return "away"
    return "refuses" if read_only == "on" else "ok"


def broker_result() -> Result:
    """Write a key in the broker within a second. One that was demoted, or is full, answers a PING but no write."""
    client = redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=_BROKER_SECONDS, socket_connect_timeout=_BROKER_SECONDS
    )
    try:
        client.set(f"{settings.INSTALLATION_ID}:{_KEY}", "", ex=_KEY_SECONDS)
    except redis.ResponseError:
        return "refuses"
    except redis.RedisError:
        return "away"
    finally:
        client.close()
    return "ok"


_PROBES: dict[str, Callable[[], Result]] = {"database": database_result, "broker": broker_result}


@never_cache
@require_safe
def health(_: HttpRequest) -> JsonResponse:
    """Return `ok`, `refuses` or `away` for each server, and the worst as `status`.

    No login is needed, because the response has no other information.
    """
    results = {name: probe() for name, probe in _PROBES.items()}
    worst = next((word for word in ("away", "refuses") if word in results.values()), "ok")
    return JsonResponse({"status": worst, **results}, status=200 if worst == "ok" else 503)
