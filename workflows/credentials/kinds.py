"""Kinds of credentials: what values each has, which of them are secret, and where they may be sent.

A secret value has at least 8 characters: a shorter one cannot be told from other text, and so not be taken out of what
is recorded.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from actions.base import Json
from actions.credentials import Host
from workflows.definitions.errors import Problem, join_path, nearest

SHORTEST_SECRET = 8
LONGEST_SECRET = 16 * 1024
_LONGEST_TEXT = 1000
MOST_FIELDS = 50
_FEWEST_CHARACTERS = 4
_PRINTABLE = re.compile(r"[\x21-\x7e]+")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def _guarded(value: str) -> str:
    if len(value) < SHORTEST_SECRET:
        raise ValueError(
            f"has {len(value)} characters; a secret has at least {SHORTEST_SECRET}, or it could not be found and taken "
            "out where a server sends it back"
        )
    if len(set(value)) < _FEWEST_CHARACTERS:
        raise ValueError(
            f"is made of fewer than {_FEWEST_CHARACTERS} different characters; such a text stands in many places "
            "that have nothing to do with it"
        )
    if "\0" in value:
        raise ValueError("has a NUL character in it")
    return value


def _one_word(value: str) -> str:
    if not _PRINTABLE.fullmatch(value):
        raise ValueError("may have printable ASCII characters only, without blanks and line ends")
    return value


def _one_line(value: str) -> str:
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise ValueError("has a line end or another control character in it")
    return value


def _https(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1")):
        raise ValueError("must be a URL that begins with https://")
    if not parts.hostname or "@" in parts.netloc:
        raise ValueError("must be a URL with a host, and without user and password")
    return value


Secret = Annotated[
    str, Field(max_length=LONGEST_SECRET, json_schema_extra={"writeOnly": True}), AfterValidator(_guarded)
]
Token = Annotated[Secret, AfterValidator(_one_word)]
Line = Annotated[str, Field(min_length=1, max_length=_LONGEST_TEXT), AfterValidator(_one_line)]
Port = Annotated[int, Field(ge=1, le=65_535)]


class Values(BaseModel):
    """The values of a kind. Unknown ones are refused, and nothing is converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)
    # The names of those that are secret; the others may be shown in errors.
    secret: ClassVar[frozenset[str]] = frozenset()
    # Whether `hosts` has to be given: it is not where a value names the only server.
    needs_hosts: ClassVar[bool] = True

    def servers(self) -> tuple[Host, ...]:
        """The servers that the values themselves name."""
        return ()


class Bearer(Values):
    """A token that is sent as `Authorization: Bearer <token>`."""

    secret = frozenset({"token"})
    token: Token


class Basic(Values):
    """A user's name and password, sent as `Authorization: Basic ...`."""

    secret = frozenset({"password"})
    username: Annotated[Line, Field(pattern=r"^[^:]*$")]
    password: Annotated[Secret, AfterValidator(_one_line)]


class ApiKey(Values):
    """A key that is sent in a header or in the query, under a name of the receiver's choice."""

    secret = frozenset({"value"})
    name: Annotated[str, Field(pattern=_HEADER_NAME.pattern)] = "X-API-Key"
    value: Token
    place: Literal["header", "query"] = "header"


class SigningSecret(Values):
    """A secret by which messages are signed and checked. It is never sent itself."""

    secret = frozenset({"secret"})
    needs_hosts = False
    secret_: Secret = Field(alias="secret")


class OAuth2ClientCredentials(Values):
    """A client of an OAuth2 provider, which gives it access tokens at `token_url` (RFC 6749, 4.4)."""

    secret = frozenset({"client_secret"})
    token_url: Annotated[str, Field(max_length=_LONGEST_TEXT), AfterValidator(_https), AfterValidator(_one_word)]
    client_id: Line
    client_secret: Secret
    scope: Annotated[str, Field(max_length=_LONGEST_TEXT), AfterValidator(_one_line)] = ""
    audience: Annotated[str, Field(max_length=_LONGEST_TEXT), AfterValidator(_one_line)] = ""
    authentication: Literal["basic", "body"] = "basic"


class Smtp(Values):
    """A mail server, and a user of it."""

    secret = frozenset({"password"})
    needs_hosts = False
    host: Line
    port: Port = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: Annotated[str, Field(max_length=_LONGEST_TEXT), AfterValidator(_one_line)] = ""
    password: Secret | None = None

    def servers(self) -> tuple[Host, ...]:
        """The mail server."""
        return (Host("smtp", self.host.lower(), self.port),)


class PostgreSQL(Values):
    """A database of a PostgreSQL server, and a role of it."""

    secret = frozenset({"password"})
    needs_hosts = False
    host: Line
    port: Port = 5432
    database: Line
    username: Line
    password: Secret
    sslmode: Literal["disable", "require", "verify-ca", "verify-full"] = "verify-full"

    def servers(self) -> tuple[Host, ...]:
        """The database server."""
        return (Host("postgresql", self.host.lower(), self.port),)


class S3(Values):
    """A service that speaks S3, and an access key of it."""

    secret = frozenset({"secret_access_key"})
    needs_hosts = False
    endpoint: Annotated[str, Field(max_length=_LONGEST_TEXT), AfterValidator(_https), AfterValidator(_one_word)]
    region: Line = "us-east-1"
    access_key_id: Line
    secret_access_key: Token
    bucket: Annotated[str, Field(max_length=100), AfterValidator(_one_line)] = ""

    def servers(self) -> tuple[Host, ...]:
        """The endpoint."""
        parts = urlsplit(self.endpoint)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return (Host(parts.scheme, parts.hostname or "", port),)


@dataclass(frozen=True)
class Kind:
    """A kind: its name, one sentence, and the schema of its values; None for secret fields of any names."""

    name: str
    summary: str
    values: type[Values] | None

    def needs_hosts(self) -> bool:
        """Whether a credential of this kind has to say where it may be sent."""
        return self.values is None or self.values.needs_hosts

    def json_schema(self) -> dict[str, Any]:
        """The JSON Schema of its values."""
        if self.values is not None:
            return self.values.model_json_schema()
        one = {"type": "string", "minLength": SHORTEST_SECRET, "maxLength": LONGEST_SECRET, "writeOnly": True}
        return {"type": "object", "additionalProperties": one, "minProperties": 1, "maxProperties": MOST_FIELDS}


def _kind(name: str, values: type[Values]) -> Kind:
    return Kind(name, " ".join((values.__doc__ or "").split()), values)


KINDS: dict[str, Kind] = {
    one.name: one
    for one in (
        _kind("bearer", Bearer),
        _kind("basic", Basic),
        _kind("api_key", ApiKey),
        _kind("signing_secret", SigningSecret),
        _kind("oauth2_client_credentials", OAuth2ClientCredentials),
        _kind("smtp", Smtp),
        _kind("postgresql", PostgreSQL),
        _kind("s3", S3),
        Kind("fields", "Secret texts under names of your own, for `{{ secrets.<credential>.<field> }}`.", None),
    )
}


def find(name: str) -> Kind:
    """Return the kind of this name. Raises ValueError, which says what there is."""
    try:
        return KINDS[name]
    except KeyError:
        hint = nearest(name[:100], KINDS) or f"; known are {', '.join(KINDS)}"
        raise ValueError(f"there is no kind {name[:100]!r} of credentials{hint}") from None


def checked(kind: Kind, values: Mapping[str, Json]) -> tuple[dict[str, Any], list[Problem]]:
    """Return the values as they are stored, defaults included, and the problems of those that do not fit the kind.

    No problem shows a value.
    """
    if kind.values is None:
        problems = list(_field_problems(values))
        return ({} if problems else dict(values)), problems
    try:
        found = kind.values.model_validate(dict(values))
    except ValidationError as error:
        return {}, [_problem(each["type"], each["loc"], each["msg"], kind=kind) for each in error.errors()]
    return found.model_dump(by_alias=True, exclude_none=True), []


def secrets_of(kind: str, values: Mapping[str, Json]) -> frozenset[str]:
    """Return those of the values that are secret."""
    known = KINDS.get(kind)
    names = values.keys() if known is None or known.values is None else known.values.secret
    return frozenset(str(values[name]) for name in names if values.get(name))


def servers_of(kind: str, values: Mapping[str, Json]) -> tuple[Host, ...]:
    """Return the servers that the values themselves name."""
    known = KINDS.get(kind)
    if known is None or known.values is None:
        return ()
    return known.values.model_validate(dict(values)).servers()


def basic(username: str, password: str) -> str:
    """Return the value of an Authorization header of scheme Basic (RFC 7617, UTF-8)."""
    return f"Basic {base64.b64encode(f'{username}:{password}'.encode()).decode()}"


def _problem(error: str, place: tuple[int | str, ...], message: str, *, kind: Kind) -> Problem:
    """Return a problem of Pydantic's in our words, which never have the value."""
    known = kind.values.model_json_schema()["properties"] if kind.values else {}
    where = join_path("values", *(str(part)[:40] for part in place))
    if error == "extra_forbidden":
        return Problem(where, f"is no value of kind {kind.name}{nearest(str(place[-1])[:100], known)}")
    if error == "missing":
        return Problem(where, f"is required for kind {kind.name}")
    said = message.removeprefix("Value error, ").replace("Input should be", "must be")
    return Problem(where, said.replace("String should", "must").replace("should", "must"))


def _field_problems(values: Mapping[str, Json]) -> Iterator[Problem]:
    if not 1 <= len(values) <= MOST_FIELDS:
        yield Problem("values", f"must have 1 to {MOST_FIELDS} fields, not {len(values)}")
        return
    for name, value in values.items():
        if not FIELD_NAME.fullmatch(name):
            yield Problem("values", f"{name[:40]!r} is no name of a field; use letters, digits and _, at most 64")
        elif not isinstance(value, str):
            yield Problem(f"values.{name}", "must be a text")
        elif len(value) > LONGEST_SECRET:
            yield Problem(f"values.{name}", f"is longer than {LONGEST_SECRET:,} characters")
        else:
            try:
                _guarded(value)
            except ValueError as error:
                yield Problem(f"values.{name}", str(error))
