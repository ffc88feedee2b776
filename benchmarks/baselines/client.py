"""The HTTP client of the baselines: one in each process, whose connections are kept."""

from __future__ import annotations

import http.client
import json
import sys
from collections import deque
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import httpx2

# As many connections as the largest pool that is measured has threads.
_CONNECTIONS = 100


def get(url: str) -> Any:
    """Send a GET request, and return the JSON of the response. Raises an error unless the status is 200."""
    return _plain(url) if _in_greenlets() else _client().get(url).raise_for_status().json()


@cache
def _client() -> httpx2.Client:
    """Return a client of the library that Stepwise uses."""
    limits = httpx2.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS)
    return httpx2.Client(limits=limits, trust_env=False)


@cache
def _in_greenlets() -> bool:
    """Whether the process is a worker with gevent's pool, which replaces the sockets of the standard library."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("socket"))


# A greenlet takes a connection out and puts it back. httpx2 has locks, and a connection pool that each request searches
# from its first connection on; the standard library's client has neither, so it is the better one for many greenlets.
_idle: deque[http.client.HTTPConnection] = deque()


def _plain(url: str) -> Any:
    parts = urlsplit(url)
    connection = _idle.pop() if _idle else http.client.HTTPConnection(str(parts.hostname), parts.port)
    connection.request("GET", parts.path)
    with connection.getresponse() as response:
        body = response.read()
    if response.status != 200:
        raise http.client.HTTPException(f"{url} answered {response.status}")
    _idle.append(connection)
    return json.loads(body)
