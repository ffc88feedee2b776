"""The command that encrypts all credentials anew with the first key, beside everything else."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from workflows.credentials import encryption, store
from workflows.credentials.encryption import KeyMissing
from workflows.management.commands import _common

LOST = 1


class Command(BaseCommand):
    help = (
        "Encrypt every credential with the first of CREDENTIAL_KEYS. Put the new key first, restart all processes, run "
        "this, and remove the old key. Exit status 1 if there are credentials that no key opens; they are named."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="only name the credentials that no key opens")

    def handle(self, **options: Any) -> None:
        try:
            if not encryption.keys():
                _common.leave(self, [f"CREDENTIAL_KEYS has no key; {encryption.HOW_TO_MAKE}"])
            for done, all_of_them in () if options["check"] else store.rotate():
                self.stdout.write(f"{done} of {all_of_them} credentials have the key {encryption.keys()[0]}")
            lost = store.locked()
        except KeyMissing as error:
            _common.leave(self, [error])
        if lost:
            lines = [f"no key of CREDENTIAL_KEYS opens {name}; add the key, or set its values anew" for name in lost]
            _common.leave(self, lines, status=LOST)
        self.stdout.write("every credential can be opened")
