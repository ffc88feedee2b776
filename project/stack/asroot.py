"""Find a way to run PostgreSQL as another user when we are root, as which PostgreSQL refuses to run.

The permissions of parent directories are not changed.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from project.stack.errors import StackError

_USER = "nobody"
_READ_ANYTHING = ("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search")


@dataclass(frozen=True)
class Identity:
    """A user to run commands as: `prefix` is put in front of a command, `uid` and `gid` own the files that it writes.

    Without a prefix and ids, it is the user that we are.
    """

    prefix: tuple[str, ...] = ()
    uid: int | None = None
    gid: int | None = None

    def own(self, path: Path) -> None:
        """Make this identity the owner of a directory and all in it, unless it owns the directory already."""
        if self.uid is None or self.gid is None or path.stat().st_uid == self.uid:
            return
        for directory, _, files in os.walk(path):
            for name in (directory, *(os.path.join(directory, file) for file in files)):  # noqa: PTH118 - os.walk
                os.chown(name, self.uid, self.gid, follow_symlinks=False)


def identity(program: Path, *, directory: Path) -> Identity:
    """Return the identity to run initdb (`program`) as, and to write below `directory` as.

    That is our own user; if we are root, the first candidate for which both work. Raises StackError if there is none.
    """
    if os.geteuid() != 0:
        return Identity()
    for candidate in _candidates():
        if _works(candidate, program=program, directory=directory):
            return candidate
    raise StackError(
        f"PostgreSQL refuses to run as root and no way was found to run it as another user below {directory};"
        " install setpriv (util-linux), run as an ordinary user, or set DATABASE_URL to a server of your own"
    )


def _candidates() -> Iterator[Identity]:
    setpriv, unshare = shutil.which("setpriv"), shutil.which("unshare")
    try:
        user = pwd.getpwnam(_USER)
    except KeyError:
        user = None
    if setpriv and user:
        # The kernel clears the parent death signal when the user changes, so setpriv sets it again afterwards.
        change = (setpriv, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups")
        for more in ((), _READ_ANYTHING):
            for watched in ((f"--pdeathsig={signal.SIGINT.name.removeprefix('SIG')}",), ()):
                yield Identity((*change, *more, *watched, "--"), user.pw_uid, user.pw_gid)
    if unshare:
        yield Identity((unshare, "--user", "--map-user=1000", "--"), 0, 0)


def _works(candidate: Identity, *, program: Path, directory: Path) -> bool:
    """Try a candidate in a new directory: it may lack access to a parent directory, also to one of the program's.

    `initdb --show` creates nothing. But it looks for PostgreSQL's other programs by access(2), which ignores
    capabilities, so it shows whether initdb will find them.
    """
    with tempfile.TemporaryDirectory(dir=directory, prefix="probe-") as probe:
        candidate.own(Path(probe))
        script = 'cd "$1" && : > "$1/written" && "$2" --show -D "$1/data"'
        return _succeeds([*candidate.prefix, "/bin/sh", "-c", script, "sh", probe, str(program)])


def _succeeds(command: Sequence[str]) -> bool:
    try:
        done = subprocess.run(command, check=False, capture_output=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
