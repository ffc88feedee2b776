"""Parse DATABASE_URL: `postgresql://user:password@host:port/name`, or `?host=/directory` for a Unix socket."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from project.env import SettingError

_SCHEMES = ("postgres", "postgresql")


@dataclass(frozen=True)
class DatabaseUrl:
    """The address of a PostgreSQL database. `host` may be the directory of a Unix socket; `options` are libpq's."""

    name: str
    user: str = ""
    password: str = ""
    host: str = ""
    port: str = ""
    options: dict[str, str] = field(default_factory=dict)

    def connect_words(self) -> dict[str, str]:
        """Return the address as keyword arguments of psycopg.connect."""
        words = {
            "dbname": self.name,
            "user": self.user,
            "password": self.password,
            "host": self.host,
            "port": self.port,
        }
        return {**{key: value for key, value in words.items() if value}, **self.options}


def parse(url: str) -> DatabaseUrl:
    """Parse a URL. Raises SettingError, whose message does not repeat the URL, as it holds a password."""
    try:
        parts = urlsplit(url)
        port = str(parts.port or "")
    except ValueError as error:
        raise SettingError(f"DATABASE_URL is not a URL ({error}); {_HINT}") from None
    if parts.scheme not in _SCHEMES:
        raise SettingError(f"DATABASE_URL begins with {parts.scheme!r}, not postgresql; {_HINT}")
    name = unquote(parts.path.lstrip("/"))
    if not name:
        raise SettingError(f"DATABASE_URL names no database; {_HINT}")
    options = dict(parse_qsl(parts.query))
    return DatabaseUrl(
        name=name,
        user=options.pop("user", unquote(parts.username or "")),
        password=options.pop("password", unquote(parts.password or "")),
        host=options.pop("host", unquote(parts.hostname or "")),
        port=options.pop("port", port),
        options=options,
    )


_HINT = "write postgresql://user:password@host:5432/name or postgresql:///name?host=/socket/directory"
