"""`$STEPWISE_HOME/credentials.env`: secrets that `make up` generated, as `KEY=value`; only its owner may read it."""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from project import env

_HEADER = (
    "# Written by `make up`. Settings of the environment and of .env win over these.\n"
    "# Whoever has this file has everything: keep it private, and keep it with a backup of the data.\n"
    "# In sh, bash, dash and zsh: set -a; . ./credentials.env; set +a   (fish and csh cannot read it)\n"
)


def read(home: Path) -> dict[str, str]:
    """Return the contents of the file; an empty dict before the first start."""
    return env.read_file(home / env.CREDENTIALS)


def update(home: Path, values: Mapping[str, str]) -> dict[str, str]:
    """Add or replace these values in the file (mode 0600), and return all values. STEPWISE_HOME is always among them.

    The file is replaced atomically: a reader sees the old file or the new one. Raises SettingError for a value with a
    line end, which no line can hold.
    """
    path = home / env.CREDENTIALS
    merged = {**read(home), **values, "STEPWISE_HOME": str(home.resolve())}
    for key, value in merged.items():
        if len(value.splitlines()) > 1 or value.endswith(("\n", "\r")):
            raise env.SettingError(f"{key} has a line end in it; {path} cannot hold that, so give it on one line")
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(_HEADER + "".join(f"{key}={_quoted(value)}\n" for key, value in merged.items()))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    env.forget()
    return merged


def _quoted(value: str) -> str:
    """Return the value in quotes in which no shell changes anything."""
    return "'" + value.replace("'", "'\"'\"'") + "'"


def generated(known: Mapping[str, str]) -> dict[str, str]:
    """Return the values that a new installation needs and `known` lacks: as the user has set them, else generated."""
    values = {
        "STEPWISE_ADMIN_USER": "admin",
        "STEPWISE_ADMIN_PASSWORD": secrets.token_urlsafe(18),
        "SECRET_KEY": secrets.token_urlsafe(48),
        "INSTALLATION_ID": f"sw-{secrets.token_hex(4)}",
        "POSTGRES_PASSWORD": secrets.token_urlsafe(24),
        "VALKEY_PASSWORD": secrets.token_urlsafe(24),
        "STEPWISE_FLOWER_PASSWORD": secrets.token_urlsafe(18),
    }
    if not env.told("CREDENTIAL_KEYS_FILE"):
        values["CREDENTIAL_KEYS"] = base64.b64encode(secrets.token_bytes(32)).decode()
    return {key: env.told(key) or value for key, value in values.items() if key not in known}
