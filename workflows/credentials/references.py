"""Values that stand elsewhere: `env:NAME` and `file:PATH`, as far as the installation lists them for the workspace.

What is not listed is refused with the same words whether it exists or not, and before anything is looked at: nobody
learns by it what the environment or the disk has.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from django.conf import settings

from actions.base import Json

UNLISTED = (
    "is a reference that this installation does not list for the workspace; ask whoever runs it to add it to "
    "CREDENTIAL_REFERENCES, or give the value itself"
)
_ENVIRONMENT, _FILE = "env:", "file:"
_ANY_WORKSPACE = "*"
_LONGEST = 16 * 1024


class Unreadable(Exception):
    """A reference does not lead to a value; the message says why, without the value."""


class Listed(NamedTuple):
    """What the setting lists: for which workspace, and which name (`env:NAME`) or directory (`file:/directory`)."""

    workspace: str
    place: str


def is_reference(value: Json) -> bool:
    """Whether a value is a reference, and not the value itself."""
    return isinstance(value, str) and value.startswith((_ENVIRONMENT, _FILE))


def is_listed(reference: str, *, workspace: str) -> bool:
    """Whether the installation lists it for this workspace. The disk is not looked at."""
    places = {one.place for one in _listed() if one.workspace in (workspace, _ANY_WORKSPACE)}
    if reference.startswith(_ENVIRONMENT):
        return reference in places
    return _path(reference) is not None and any(_is_below(reference, place) for place in places)


def resolved(reference: str, *, workspace: str) -> str:
    """Return the value that a reference leads to now. Raises Unreadable."""
    if not is_listed(reference, workspace=workspace):
        raise Unreadable(UNLISTED)
    if reference.startswith(_ENVIRONMENT):
        value = settings.CREDENTIAL_ENVIRONMENT_SECRETS.get(reference.removeprefix(_ENVIRONMENT))
        if not value:
            raise Unreadable("is a listed reference, but this process's environment does not have it")
        return str(value)
    return _read(reference, workspace=workspace)


def _listed() -> list[Listed]:
    return [Listed(*one) for one in settings.CREDENTIAL_REFERENCES]


def _path(reference: str) -> PurePosixPath | None:
    """Return the path of a reference if it is one that can be listed: absolute, without `..` and control characters."""
    text = reference.removeprefix(_FILE)
    path = PurePosixPath(text)
    plain = path.is_absolute() and ".." not in path.parts and text.isprintable() and len(text) <= 1000
    return path if plain else None


def _is_below(reference: str, place: str) -> bool:
    path = _path(reference)
    return path is not None and place.startswith(_FILE) and PurePosixPath(place.removeprefix(_FILE)) in path.parents


def _read(reference: str, *, workspace: str) -> str:
    """Read a file. One that a link leads out of the listed directories is refused as if it were not listed."""
    real = os.path.realpath(reference.removeprefix(_FILE))
    real_places = [
        f"{_FILE}{os.path.realpath(one.place.removeprefix(_FILE))}"
        for one in _listed()
        if one.workspace in (workspace, _ANY_WORKSPACE) and one.place.startswith(_FILE)
    ]
    if not any(_is_below(f"{_FILE}{real}", place) for place in real_places):
        raise Unreadable(UNLISTED)
    try:
        # Not a pipe or a device, whose opening may last for ever.
        if not stat.S_ISREG(Path(real).stat().st_mode):
            raise Unreadable("is a listed reference, but no regular file")
        with Path(real).open("rb") as file:
            data = file.read(_LONGEST + 1)
        text = data.decode()
    except (OSError, UnicodeDecodeError):
        raise Unreadable("is a listed reference, but there is no file of text that this process may read") from None
    if len(data) > _LONGEST:
        raise Unreadable(f"is a file of more than {_LONGEST:,} bytes")
    # Editors, and `echo`, end a file with a line end that is no part of the secret.
    return text.removesuffix("\n").removesuffix("\r")
