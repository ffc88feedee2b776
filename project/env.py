"""Read settings: each from the environment, else from `.env`, else from `$STEPWISE_HOME/credentials.env`.

Uses the standard library only, because `make up` reads settings before Django can be loaded.
"""

from __future__ import annotations

import functools
import os
import shlex
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
CREDENTIALS = "credentials.env"
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off", ""}


class SettingError(Exception):
    """A setting is missing or wrong. The message, one line, says which, where, and what to do."""


def parse(text: str, *, source: str) -> dict[str, str]:
    """Parse the `KEY=value` lines of a file. `export` and outer quotes are removed, comments skipped.

    Raises SettingError, naming the line, for anything else.
    """
    values: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip().removeprefix("export ").strip()
        if not stripped or stripped.startswith("#"):
            continue
        key, equals, value = stripped.partition("=")
        if not equals or not key.strip().isidentifier():
            raise SettingError(f"{source} line {number}: expected KEY=value")
        values[key.strip()] = _unquoted(value.strip())
    return values


def _unquoted(value: str) -> str:
    """Return the value without outer quotes; one in several quotes, such as 'a'"'"'b', as a shell would read it."""
    if len(value) < 2 or value[0] != value[-1] or value[0] not in "\"'":
        return value
    if value[0] in value[1:-1]:
        with suppress(ValueError):
            parts = shlex.split(value)
            return parts[0] if len(parts) == 1 else value[1:-1]
    return value[1:-1]


def read_file(path: Path) -> dict[str, str]:
    """Return the settings in a file, none if it does not exist. Raises SettingError if it cannot be read."""
    try:
        return parse(path.read_text(encoding="utf-8"), source=str(path))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{path} cannot be read ({error}); mend or remove it") from None


def dotenv_path() -> Path:
    """Return the path of `.env`: in the checkout, or as STEPWISE_ENV_FILE says (tests use it to ignore your `.env`)."""
    return Path(os.environ.get("STEPWISE_ENV_FILE") or BASE_DIR / ".env")


def home() -> Path:
    """Return STEPWISE_HOME, the directory of an installation's data; a relative path is relative to the checkout."""
    given = os.environ.get("STEPWISE_HOME") or read_file(dotenv_path()).get("STEPWISE_HOME")
    return BASE_DIR / Path(given or ".stepwise").expanduser()


def home_hint() -> str:
    """Return a sentence for a command that finds no running installation: where it looked, and how to name another."""
    if os.environ.get("STEPWISE_HOME"):
        said_by = "STEPWISE_HOME in the environment"
    elif read_file(dotenv_path()).get("STEPWISE_HOME"):
        said_by = f"STEPWISE_HOME in {dotenv_path()}"
    else:
        said_by = "the default, as STEPWISE_HOME is not set here"
    return (
        f"This command looked at {home()} ({said_by}). If `make up` was started with another STEPWISE_HOME, give the"
        " same to this command: export STEPWISE_HOME=DIRECTORY, or write it into .env"
    )


@functools.cache
def _files() -> Mapping[str, str]:
    return {**read_file(home() / CREDENTIALS), **read_file(dotenv_path())}


def forget() -> None:
    """Clear the cache, so that the next lookup reads the files again."""
    _files.cache_clear()


def lookup(name: str) -> str | None:
    """Return a setting's text from the first place that has it, or None. An empty value counts as set."""
    return os.environ[name] if name in os.environ else _files().get(name)


def told(name: str) -> str | None:
    """Return what the user has set, in the environment or `.env`, or None; credentials.env is not read."""
    return os.environ.get(name) or read_file(dotenv_path()).get(name) or None


def env_str(name: str, *, default: str | None = None) -> str:
    """Return a setting as text. Raises SettingError if it is not set and there is no default."""
    value = lookup(name) or default
    if value is None:
        file = home() / CREDENTIALS
        hint = "is silent about it" if file.exists() else "does not exist, so `make up` has never run there"
        raise SettingError(
            f"{name} is not set and {file} {hint}; run `make up`, or set {name} in the environment or .env."
            f" {home_hint()}"
        )
    return value


def env_int(name: str, *, default: int, minimum: int = 0, maximum: int | None = None) -> int:
    """Return a setting as an integer. Raises SettingError, with the bounds, if it is none or out of bounds."""
    raw = lookup(name)
    if not raw:
        return default
    bounds = f"at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"
    try:
        value = int(raw)
    except ValueError:
        raise SettingError(f"{name}={raw!r} is not a whole number; give one {bounds}") from None
    if value < minimum or (maximum is not None and value > maximum):
        raise SettingError(f"{name}={value} is out of bounds; give a whole number {bounds}")
    return value


def env_bool(name: str, *, default: bool) -> bool:
    """Return a setting as a boolean: 1/true/yes/on or 0/false/no/off, in upper or lower case. Raises SettingError."""
    raw = lookup(name)
    if raw is None:
        return default
    if raw.lower() in _TRUE | _FALSE:
        return raw.lower() in _TRUE
    raise SettingError(f"{name}={raw!r} is neither true nor false; write 1 or 0")


def env_list(name: str, *, default: tuple[str, ...] = ()) -> list[str]:
    """Return a setting's comma-separated entries, without surrounding blanks; empty entries are dropped."""
    raw = lookup(name)
    return list(default) if raw is None else [part.strip() for part in raw.split(",") if part.strip()]


def lines_of(path: str, *, name: str) -> list[str]:
    """Return the lines of the file that a setting names, without blank ones and comments; none for an empty path.

    Raises SettingError if it cannot be read.
    """
    if not path:
        return []
    try:
        text = (BASE_DIR / Path(path).expanduser()).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{name}={path} cannot be read ({error}); mend or unset it") from None
    return [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


def env_choice(name: str, *, default: str, choices: tuple[str, ...]) -> str:
    """Return a setting that must be one of `choices`. Raises SettingError, which lists them."""
    value = lookup(name) or default
    if value not in choices:
        raise SettingError(f"{name}={value!r} is unknown; choose one of {', '.join(choices)}")
    return value
