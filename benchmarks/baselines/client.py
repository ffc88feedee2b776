"""The HTTP client of the baselines: libcurl, as in `http_request`, with a kept connection for each thread."""

from __future__ import annotations

import http.client
import json
import sys
import threading
from collections import deque
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import pycurl


def get(url: str) -> Any:
    """Send a GET request, and return the JSON of the response. Raises an error for a status of 400 or more."""
    if _in_greenlets():
        return _plain(url)
    curl = _client.curl
    curl.setopt(pycurl.URL, url)
    return json.loads(curl.perform_rb())


class _Client(threading.local):
    """A handle of this thread, which keeps its connection open. As cheap as it can be: no guard, no headers read."""

    def __init__(self) -> None:
        self.curl = pycurl.Curl()
        self.curl.setopt(pycurl.NOSIGNAL, 1)
        self.curl.setopt(pycurl.PROXY, "")
        self.curl.setopt(pycurl.FAILONERROR, 1)  # an exception for a status of 400 or more


_client = _Client()


@cache
def _in_greenlets() -> bool:
    """Whether the process is a worker with gevent's pool, which replaces the sockets of the standard library."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("socket"))


# A greenlet takes a connection out and puts it back. Greenlets cannot wait inside libcurl, which is not Python.
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
