#!/usr/bin/env python
"""Django's command line for this project. Exit status 2 and one line when a setting is missing or wrong."""

import os
import sys


def main() -> int:
    """Run one command. A missing setting or an unreachable database gets one line instead of a traceback."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    if unreadable := [word for word in sys.argv[1:] if not _is_utf8(word)]:
        print(f"stepwise: the argument {unreadable[0]!a} is not UTF-8", file=sys.stderr)
        return 2
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db import OperationalError

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        print(f"stepwise: {error}", file=sys.stderr)
        return 2
    except OperationalError as error:
        from project.running import why_no_database

        print(f"stepwise: {why_no_database(error)}", file=sys.stderr)
        return 1
    return 0


def _is_utf8(word: str) -> bool:
    """Bytes that are not arrive as lone surrogates, which no database takes."""
    return not any("\ud800" <= letter <= "\udfff" for letter in word)


if __name__ == "__main__":
    sys.exit(main())
