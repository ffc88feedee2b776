"""The only way to other hosts: an HTTP client behind the network guard, bounded in time, size and redirects."""

from actions.network.bodies import text
from actions.network.client import (
    MAX_REDIRECTS,
    REDIRECTS,
    Answer,
    Call,
    configure,
    header_fault,
    request,
    shown,
    url_fault,
)
from actions.network.destinations import bind, sending
from actions.network.urls import beginning_fault

__all__ = [
    "MAX_REDIRECTS",
    "REDIRECTS",
    "Answer",
    "Call",
    "beginning_fault",
    "bind",
    "configure",
    "header_fault",
    "request",
    "sending",
    "shown",
    "text",
    "url_fault",
]
