"""The RSGI application that the web server runs: the WSGI application behind bounds on what a request may cost."""

import resource

from django.conf import settings
from django.db import connections

from project import headers
from project.bridge.application import Bridge, Limits
from project.wsgi import application as wsgi_application

# Each of the 4,096 connections that a web process takes needs a file; the usual limit is 1,024. If files run out, no
# connection can be accepted, however idle those are that hold them.
_FILES = 16_384
_soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
_wanted = _FILES if _hard == resource.RLIM_INFINITY else min(_FILES, _hard)
if _soft != resource.RLIM_INFINITY and _soft < _wanted:
    resource.setrlimit(resource.RLIMIT_NOFILE, (_wanted, _hard))

application = Bridge(
    wsgi_application,
    limits=Limits(
        threads=settings.WEB_THREADS,
        stream_threads=settings.WEB_STREAM_THREADS,
        queue_requests=settings.WEB_QUEUE_REQUESTS,
        buffer_bytes=settings.REQUEST_BUFFER_KILOBYTES << 10,
        page_bytes=settings.DATA_UPLOAD_MAX_MEMORY_SIZE,
        pages_bytes=settings.REQUEST_PAGES_MEGABYTES << 20,
        body_seconds=settings.REQUEST_BODY_SECONDS,
        bytes_per_second=settings.REQUEST_BYTES_PER_SECOND,
    ),
    session_cookie=settings.SESSION_COOKIE_NAME,
    headers=headers.of_every_answer(),
    at_end=connections.close_all,
)
