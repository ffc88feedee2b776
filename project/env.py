"""Read a setting from the environment, else from `.env`, else from `$STEPWISE_HOME/credentials.env`.

Needs nothing but the standard library, because `make up` reads its own settings before Django can be loaded.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
CREDENTIALS = "credentials.env"
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off", ""}


class SettingError(Exception):
    """A setting that is missing or wrong; its one line says which, where and what to do."""


def parse(text: str, *, source: str) -> dict[str, str]:
    """The `KEY=value` lines of a file. `export` and outer quotes are dropped, comments skipped.

    Raises SettingError naming the line that is none of these.
    """
    values: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip().removeprefix("export ").strip()
        if not stripped or stripped.startswith("#"):
            continue
        key, equals, value = stripped.partition("=")
        if not equals or not key.strip().isidentifier():
            raise SettingError(f"{source} line {number}: expected KEY=value")
        value = value.strip()
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        values[key.strip()] = value
    return values


def read_file(path: Path) -> dict[str, str]:
    """The settings of one file, none where it does not exist. Raises SettingError when it cannot be read."""
    try:
        return parse(path.read_text(encoding="utf-8"), source=str(path))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{path} cannot be read ({error}); mend or remove it") from None


def dotenv_path() -> Path:
    """`.env` of the checkout, or what STEPWISE_ENV_FILE names (the tests do, to see nothing of yours)."""
    return Path(os.environ.get("STEPWISE_ENV_FILE") or BASE_DIR / ".env")


def home() -> Path:
    """Where an installation keeps everything; a relative STEPWISE_HOME counts from the checkout."""
    told = os.environ.get("STEPWISE_HOME") or read_file(dotenv_path()).get("STEPWISE_HOME")
    return BASE_DIR / Path(told or ".stepwise").expanduser()


@functools.cache
def _files() -> Mapping[str, str]:
    return {**read_file(home() / CREDENTIALS), **read_file(dotenv_path())}


def forget() -> None:
    """Read the files anew at the next question."""
    _files.cache_clear()


def lookup(name: str) -> str | None:
    """The raw text of a setting from the first place that has it. An empty value counts as given."""
    return os.environ[name] if name in os.environ else _files().get(name)


def told(name: str) -> str | None:
    """What a human set, in the environment or `.env`; what `make up` wrote for itself does not count."""
    return os.environ.get(name) or read_file(dotenv_path()).get(name) or None


def env_str(name: str, *, default: str | None = None) -> str:
    """A text. Without a default it has to be given, or SettingError says where `make up` would write it."""
    value = lookup(name) or default
    if value is None:
        file = home() / CREDENTIALS
        hint = "is silent about it" if file.exists() else "does not exist: `make up` is not running here"
        raise SettingError(
            f"{name} is not set and {file} {hint}; run `make up`, or set {name} in the environment or .env"
        )
    return value


def env_int(name: str, *, default: int, minimum: int = 0, maximum: int | None = None) -> int:
    """A whole number within bounds; SettingError names the bounds."""
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
    """1/true/yes/on or 0/false/no/off, in any case."""
    raw = lookup(name)
    if raw is None:
        return default
    if raw.lower() in _TRUE | _FALSE:
        return raw.lower() in _TRUE
    raise SettingError(f"{name}={raw!r} is neither true nor false; write 1 or 0")


def env_list(name: str, *, default: tuple[str, ...] = ()) -> list[str]:
    """Texts separated by commas; blanks around them are dropped, and so are empty ones."""
    raw = lookup(name)
    return list(default) if raw is None else [part.strip() for part in raw.split(",") if part.strip()]


def env_choice(name: str, *, default: str, choices: tuple[str, ...]) -> str:
    """One of a few words; SettingError lists them."""
    value = lookup(name) or default
    if value not in choices:
        raise SettingError(f"{name}={value!r} is unknown; choose one of {', '.join(choices)}")
    return value
