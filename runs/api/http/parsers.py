"""Read request bodies: strict JSON for all, and definitions as JSON or YAML that know their lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any, TypeVar

from pydantic import ValidationError
from rest_framework.parsers import BaseParser

from actions import payload
from actions.base import Json
from runs.api.http.problems import Refused, bad, refused
from runs.schemas.base import Body
from workflows.definitions.complaints import complaints
from workflows.formats import parse

MAX_BYTES = 10 * 1024 * 1024


class JsonBody(BaseParser):
    """JSON that jsonb can hold: no NaN, NUL, lone surrogates, duplicate keys, or integers beyond 64 bits."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """The body's value. Raises PayloadError (400) and Refused (413)."""
        return payload.loads(_read(stream, parser_context))


class DefinitionJson(BaseParser):
    """A definition sent as JSON, as a workflows.formats.parse.Source."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """The document. Raises PayloadError (400) and Refused (413)."""
        return parse.Source(payload.loads(_read(stream, parser_context)))


class DefinitionYaml(BaseParser):
    """A definition sent as YAML, as a workflows.formats.parse.Source with the lines of its parts."""

    media_type = "application/yaml"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """The document. Raises DefinitionError (400) and Refused (413)."""
        return parse.load(_read(stream, parser_context))


class DefinitionXYaml(DefinitionYaml):
    media_type = "application/x-yaml"


class DefinitionTextYaml(DefinitionYaml):
    media_type = "text/yaml"


DEFINITION_PARSERS: tuple[type[BaseParser], ...] = (
    DefinitionJson,
    DefinitionYaml,
    DefinitionXYaml,
    DefinitionTextYaml,
)


B = TypeVar("B", bound=Body)


def read_body(data: Json, *, model: type[B]) -> B:
    """The body as the model. Raises Refused (400) with the path of each fault."""
    if not isinstance(data, dict):
        raise bad("", "the body must be a JSON object")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise refused(complaints(error, model=model, given=data, path="")) from None


def declared_length(meta: Mapping[str, Any]) -> int:
    """The number of bytes that the request's Content-Length says; 0 for none, or for what is no such number."""
    given = meta.get("CONTENT_LENGTH") or ""
    # Python calls a superscript a digit but does not read it, and refuses to read thousands of digits.
    return int(given[:20]) if given.isascii() and given.isdecimal() else 0


def _read(stream: IO[Any], context: Mapping[str, Any] | None) -> bytes:
    request = context.get("request") if context else None
    if request is not None and declared_length(request.META) > MAX_BYTES:
        raise _too_large()
    data: bytes = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise _too_large()
    return data


def _too_large() -> Refused:
    return Refused("the body is larger than 10 MB; send less, or pass a reference to the data", status=413)
