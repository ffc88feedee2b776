"""The only way to other hosts: an HTTP client behind the network guard, bounded in time, size and redirects."""

from actions.network.bodies import text
from actions.network.client import Answer, Call, configure, request, shown

__all__ = ["Answer", "Call", "configure", "request", "shown", "text"]
