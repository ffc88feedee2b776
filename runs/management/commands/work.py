"""Work on runs without a broker."""

from __future__ import annotations

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from runs.worker import polling
from workflows.management.commands import _common


class Command(BaseCommand):
    """`manage.py work --poll`"""

    help = "Take tickets straight from PostgreSQL and perform them here, so that runs go on even without a broker."

    def add_arguments(self, parser: CommandParser) -> None:
        """The one way to work that is not Celery's."""
        parser.add_argument("--poll", action="store_true", help="poll PostgreSQL; needs no broker")

    def handle(self, **options: Any) -> None:
        """Work until Ctrl-C or SIGTERM, which lets the message in hand come to its end."""
        if not options["poll"]:
            _common.leave(self, ["say --poll to work without a broker; with one: celery -A project worker"])
        stopping = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopping.set())
        self.stdout.write("polling; Ctrl-C stops")
        polling.serve(stopping)
