"""Files of an installation that only its owner may read: logs, credentials, the broker's data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

# For the processes of the stack: what they write is for their owner only.
UMASK = 0o077


def append(path: Path) -> BinaryIO:
    """Open a file to append to it; if it is new, only its owner may read it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    return os.fdopen(descriptor, "ab")


def tighten(home: Path) -> list[str]:
    """Take from everybody but the owner what earlier versions or a copy left open, and return lines to print.

    These are the files of the home itself and all below `log` and `valkey`. PostgreSQL sees to its own. The home
    directory is left as it is: another user may have to pass through it to PostgreSQL's data.
    """
    open_ones = [path for path in _ours(home) if path.stat().st_mode & 0o077]
    failed = [path for path in open_ones if not _is_closed(path)]
    lines: list[str] = []
    if closed := len(open_ones) - len(failed):
        lines.append(f"{closed} files and directories in {home} could be read by other users; now only by their owner")
    if failed:
        lines.append(
            f"warning: other users can read {failed[0]}, which is not ours to change; remove it, or chmod go= it"
        )
    return lines


def _ours(home: Path) -> Iterator[Path]:
    """Yield the files and directories, without symbolic links, whose targets may be anywhere."""
    yield from (path for path in home.iterdir() if path.is_file() and not path.is_symlink())
    for name in ("log", "valkey"):
        if (home / name).is_symlink():
            continue
        for directory, _, files in os.walk(home / name):
            yield Path(directory)
            paths = (Path(directory, file) for file in files)
            yield from (path for path in paths if path.is_file() and not path.is_symlink())


def _is_closed(path: Path) -> bool:
    """Take the rights of others from a file; False if it belongs to somebody else."""
    try:
        path.chmod(path.stat().st_mode & 0o700)
    except PermissionError:
        return False
    return True
