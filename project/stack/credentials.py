"""`$STEPWISE_HOME/credentials.env`: what `make up` made up, in `KEY=value` lines that only the owner may read."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from project import env

_HEADER = (
    "# Written by `make up`. Settings of the environment and of .env win over these.\n"
    "# Whoever has this file has everything: keep it private, and keep it with a backup of the data.\n"
)


def read(home: Path) -> dict[str, str]:
    """What is written so far; nothing on the first start."""
    return env.read_file(home / env.CREDENTIALS)


def update(home: Path, values: Mapping[str, str]) -> dict[str, str]:
    """Write these over what is there, in one step: a reader sees the old file or the new one. Mode 0600."""
    path = home / env.CREDENTIALS
    merged = {**read(home), **values}
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(_HEADER + "".join(f"{key}={value}\n" for key, value in merged.items()))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    env.forget()
    return merged


def generated(known: Mapping[str, str]) -> dict[str, str]:
    """What a new installation needs and neither a human nor an earlier start has given."""
    made = {
        "STEPWISE_ADMIN_USER": "admin",
        "STEPWISE_ADMIN_PASSWORD": secrets.token_urlsafe(18),
        "SECRET_KEY": secrets.token_urlsafe(48),
        "INSTALLATION_ID": f"sw-{secrets.token_hex(4)}",
        "POSTGRES_PASSWORD": secrets.token_urlsafe(24),
    }
    return {key: env.told(key) or value for key, value in made.items() if key not in known}
