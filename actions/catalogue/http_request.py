"""The action `http_request`: send an HTTP request, and return the response."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import BeforeValidator, Field, model_validator

from actions import expressions, network, payload
from actions.base import Action, Config, Context, Example, Json, Output, Permanent, Retryable, Use
from actions.durations import Seconds
from actions.network import Answer, authorization, forms, media, outputs, statuses
from actions.network.authorization import Authorization
from actions.texts import Text, TextOrTexts, as_text

_OURS = frozenset({"connection", "content-length", "host", "transfer-encoding"})
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_TRY_AGAIN = frozenset({408, 425, 429})
_LONGEST_DELAY = 86_400.0
_LONGEST_DATE = 100
_PATIENCE_SECONDS = 3.0
_UNAUTHORIZED = 401
_NOTHING = Authorization({}, {})

Method = Annotated[
    Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
    BeforeValidator(lambda given: given.upper() if isinstance(given, str) else given),
]
Scalar = str | int | float | bool


class HttpRequestConfig(Config):
    uses: ClassVar[Mapping[str, Use]] = {
        "url": Use.URL,
        "query": Use.QUERY,
        "headers": Use.DECISIVE,
        "timeout": Use.DECISIVE,
        "credential": Use.DECISIVE,
    }

    url: Text = Field(
        min_length=1,
        description="http or https; the host must have a public address",
        examples=["https://api.example.com/orders"],
    )
    method: Method = "GET"
    headers: dict[str, TextOrTexts] = Field(
        default_factory=dict,
        description="A list sends a header once for each value",
        examples=[{"Accept": "application/json"}],
    )
    query: dict[str, Scalar | list[Scalar] | None] = Field(
        default_factory=dict, description="Added behind the query of the URL; a list gives a parameter several times"
    )
    body: Any = Field(
        default=None,
        description="A text is sent as it is, anything else as JSON, or as a form if the Content-Type header says so",
    )
    body_template: Any = Field(default=None, description="Like body, but its expressions are evaluated by the action")
    form: dict[str, TextOrTexts] | None = Field(
        default=None, description="Fields of a form, sent as application/x-www-form-urlencoded"
    )
    multipart: dict[str, forms.Field] | None = Field(
        default=None,
        description="Fields and files of a form, sent as multipart/form-data; a file is "
        "{text or base64, filename, type}",
    )
    timeout: Seconds | None = Field(
        default=None,
        description="For the request with its redirects: at most the step's own timeout. Without it the request may "
        "take as long as the step; a step without a timeout then may take 5 s more than this",
    )
    response: Literal["auto", "json", "text", "base64", "none"] = Field(
        default="auto",
        description="How to read the response's body; auto goes by the Content-Type: JSON, a text, or base64",
    )
    big_integers: Literal["refuse", "text"] = Field(
        default="refuse", description="Integers beyond 64 bits in a JSON response: fail the step, or become texts"
    )
    ok_statuses: statuses.Statuses = Field(
        default_factory=list,
        description="Statuses besides 2xx with which the response is the output, such as 404 or 4xx",
        examples=[[404]],
    )
    follow_redirects: bool = Field(default=True, description="Whether to follow up to 3 redirects")
    forward_body: bool = Field(
        default=False, description="Whether a redirect that keeps the body (307, 308) may take it to another origin"
    )
    credential: Text | None = Field(
        default=None, description="Name of a stored credential, as written: it is sent to its own hosts only"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        kinds = ("body", "body_template", "form", "multipart")
        given = [name for name in kinds if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"give {given[0]} or {given[1]}, not both")
        ours = next((name for name in self.headers if name.lower() in _OURS), None)
        if ours is not None:
            raise ValueError(f"the header {ours!r} is set by the request itself; leave it out")
        said = media.media_type(self.content_type or "")
        if self.form is not None and said not in ("", forms.URL_ENCODED):
            raise ValueError(f"a form is sent as {forms.URL_ENCODED}; leave the Content-Type header out")
        if self.multipart is not None and said:
            raise ValueError("the Content-Type of a multipart form is set by the request; leave the header out")
        return self

    @property
    def content_type(self) -> str | None:
        """The Content-Type header of the config, if it has one."""
        found = next((value for name, value in self.headers.items() if name.lower() == "content-type"), None)
        return found if found is None or isinstance(found, str) else found[0]


class HttpRequest(Action[HttpRequestConfig]):
    """A 2xx response is the output. For other responses the status decides whether another attempt is made."""

    name: ClassVar[str] = "http_request"
    aliases: ClassVar[tuple[str, ...]] = ("http_call",)
    summary: ClassVar[str] = "Send an HTTP request and read the response"
    description: ClassVar[str] = (
        "Addresses that are not public are refused, unless the installation lists them (`OUTBOUND_ALLOW`); up to 3 "
        "redirects are followed. A response of 2xx is the output; 408, 425, 429 and 5xx fail the attempt, which is "
        "retried, later if the response has a `Retry-After`; any other status fails the step, unless `ok_statuses` "
        "has it. Each attempt sends the same `Idempotency-Key`."
    )
    output: ClassVar[str] = (
        '{"status": number, "headers": {lower-case name: text}, "header_values": {lower-case name: [text]}, '
        '"body": JSON, text, base64 or null, "body_type": "json", "text", "base64" or "none", '
        '"replaced": characters of a text that could not be read}'
    )
    output_class: ClassVar[type[Output] | None] = outputs.HttpOutput
    examples: ClassVar[tuple[Example, ...]] = outputs.EXAMPLES
    timeout_seconds: ClassVar[float] = 30.0
    timeout_field: ClassVar[str | None] = "timeout"
    credential_kinds: ClassVar[tuple[str, ...]] = authorization.KINDS
    raw: ClassVar[frozenset[str]] = frozenset({"body_template"})
    own_input: ClassVar[bool] = False
    config_class: ClassVar[type[Config]] = HttpRequestConfig

    @classmethod
    def faults(cls, config: Mapping[str, Json]) -> Iterator[tuple[tuple[str, ...], str]]:
        url, headers = config.get("url"), config.get("headers")
        if isinstance(url, str) and (fault := _url_fault(url)) is not None:
            yield ("url",), fault
        seen: dict[str, str] = {}
        for name, value in headers.items() if isinstance(headers, dict) else ():
            other = seen.setdefault(name.lower(), name)
            fault = f"is the header {other!r} once more; give its values as a list" if other != name else None
            for one in value if isinstance(value, list) else [value]:
                fixed = one if isinstance(one, str) and not expressions.has_expression(one) else ""
                fault = fault or network.header_fault(name, fixed)
            if fault is not None:
                yield ("headers", name), fault

    def perform(self, config: HttpRequestConfig, context: Context) -> Json:
        credential = None if config.credential is None else context.credential(config.credential)
        added = _NOTHING if credential is None else authorization.authorization(credential, action=self.name)
        _refuse_twice(config, added)
        content, content_type = _content(config, context)
        call = network.Call(
            method=config.method,
            url=config.url,
            headers={
                **_headers(config.headers, content_type=content_type, key=context.idempotency_key),
                **added.headers,
            },
            query={name: value for name, value in config.query.items() if value is not None} | added.query,
            content=content,
            forward_body=config.forward_body,
            follow=config.follow_redirects,
        )
        timeout = context.timeout_seconds if config.timeout is None else config.timeout
        answer = network.request(
            call,
            timeout_seconds=timeout,
            cancelled=context.cancelled,
            patience_seconds=_patience_seconds(config, context),
        )
        if answer.status == _UNAUTHORIZED and credential is not None and credential.rejected():
            message = f"{config.method} {network.shown(config.url)} did not accept the access token of the credential"
            raise Retryable(f"{message} {credential.name!r}; the next attempt fetches a new one", kind="http:401")
        _refuse_failure(answer, config, now=context.now)
        read = _read(answer, config)
        return {
            "status": answer.status,
            "headers": dict(answer.headers),
            "header_values": {name: list(values) for name, values in answer.values.items()},
            "body": read.body,
            "body_type": read.kind,
            "replaced": read.replaced,
        }


def _refuse_twice(config: HttpRequestConfig, added: Authorization) -> None:
    """Raise Permanent if the config has the header or the parameter that the credential is sent as."""
    given = {*(name.lower() for name in config.headers)}
    twice = next((name for name in added.headers if name.lower() in given), None)
    twice = twice or next((name for name in added.query if name in config.query), None)
    if twice is not None:
        message = f"with.credential is sent as {twice!r}, which the config has as well; leave one of them out"
        raise Permanent(message, kind="credential")


def _url_fault(url: str) -> str | None:
    """Return why a URL as written, which may have expressions in it, can never be used; None if it may be."""
    if not expressions.has_expression(url):
        return network.url_fault(url)
    begin = url.partition("{{")[0]
    return network.beginning_fault(begin) if begin else None


def _patience_seconds(config: HttpRequestConfig, context: Context) -> float:
    """Return how long the response to a request that was sent is waited for after a cancel.

    Only the response says whether a request that changes something has done so. It is waited for as long as it takes
    if the definition says how to undo the step: whether it must be undone depends on it.
    """
    if config.method in _READS:
        return 0.0
    return math.inf if context.has_compensation else _PATIENCE_SECONDS


def _content(config: HttpRequestConfig, context: Context) -> tuple[bytes | None, str | None]:
    """Return the request's body and its content type."""
    if config.form is not None:
        return forms.url_encoded(_fields(config.form)), forms.URL_ENCODED
    if config.multipart is not None:
        return forms.multipart(_parts(config.multipart), seed=context.idempotency_key)
    body = config.body
    if config.body_template is not None:
        body = expressions.render(config.body_template, context.names)
    if body is None:
        return None, None
    said = config.content_type or ""
    if isinstance(body, str):
        try:
            return media.encoded(body, said), "text/plain; charset=utf-8"
        except ValueError as error:
            raise Permanent(f"the body cannot be sent: {error}", kind="body") from None
    if media.media_type(said) == forms.URL_ENCODED:
        return _form_of(body), forms.URL_ENCODED
    if media.media_type(said) == forms.MULTIPART:
        raise Permanent("a body is no multipart form; write it as `multipart`, without the header", kind="body")
    return payload.dumps(body).encode(), "application/json"


def _form_of(body: Json) -> bytes:
    """Return a body that a Content-Type header calls a form. Raises Permanent for one that is none."""
    values = body if isinstance(body, dict) else {}
    for name, value in values.items():
        if not all(isinstance(one, Scalar) for one in (value if isinstance(value, list) else [value])):
            what = "is no text, number or boolean, nor a list of them, as its Content-Type header says"
            raise Permanent(f"body.{name[:40]} {what}", kind="body")
    if not isinstance(body, dict):
        raise Permanent("the body must be an object, as the Content-Type header says that it is a form", kind="body")
    return forms.url_encoded((name, str(as_text(one))) for name, value in values.items() for one in _list(value))


def _fields(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in given.items():
        yield from ((name, one) for one in _list(value))


def _parts(given: Mapping[str, Any]) -> Iterator[forms.Part]:
    for name, value in given.items():
        for one in _list(value):
            yield one.part(name) if isinstance(one, forms.File) else forms.Part(name, one.encode())


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]


def _headers(given: Mapping[str, str | list[str]], *, content_type: str | None, key: str) -> dict[str, str | list[str]]:
    """Return the config's headers, with Idempotency-Key and Content-Type added unless the config has them."""
    added: dict[str, str | list[str]] = {"Idempotency-Key": key}
    if content_type is not None:
        added["Content-Type"] = content_type
    if not given:
        return added
    known = {name.lower() for name in given}
    return {**{name: value for name, value in added.items() if name.lower() not in known}, **given}


def _refuse_failure(answer: Answer, config: HttpRequestConfig, *, now: datetime) -> None:
    """Raise Retryable for a status that may pass (408, 425, 429, 5xx), Permanent for any other that is not 2xx."""
    redirect = answer.status in network.REDIRECTS
    if 200 <= answer.status < 300 or (redirect and not config.follow_redirects):
        return
    if statuses.holds(config.ok_statuses, answer.status):
        return
    message = f"{config.method} {network.shown(config.url)} answered {answer.status} {answer.reason}".rstrip()
    kind = f"http:{answer.status}"
    details: dict[str, Json] = {"status": answer.status, "body": _text(answer, most=1000)}
    if redirect:
        message += _redirected(answer)
        details["followed"] = list(answer.followed)
    if answer.status in _TRY_AGAIN or answer.status >= 500:
        delay = retry_after(answer.headers.get("retry-after"), now=now)
        raise Retryable(message, kind=kind, delay_seconds=delay, details=details)
    raise Permanent(message, kind=kind, details=details)


def _redirected(answer: Answer) -> str:
    """Return what became of a redirect that was not followed, for a message."""
    way = f" after {len(answer.followed)} redirects, to {', '.join(answer.followed)}" if answer.followed else ""
    if len(answer.followed) < network.MAX_REDIRECTS:
        return f"{way}, without a Location that can be followed"
    return (
        f"{way}; no more than {network.MAX_REDIRECTS} are followed: put the last address into the step, or set "
        "follow_redirects: false and read the header location"
    )


def retry_after(header: str | None, *, now: datetime) -> float | None:
    """Return the seconds of a Retry-After, given as seconds or as a date, at most a day; None if there is none."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdecimal():
        return min(float(text[:10]), _LONGEST_DELAY)
    if len(text) > _LONGEST_DATE:
        return None
    try:
        moment = parsedate_to_datetime(text)
        seconds = (moment - now).total_seconds() if moment.tzinfo is not None else None
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError):
        # ValueError is the only one that is documented, but not the only one that the parser raises.
        return None
    return None if seconds is None else min(max(seconds, 0.0), _LONGEST_DELAY)


class _Body(NamedTuple):
    """A response's body as it is put out: its kind, and how many characters of a text were replaced by U+FFFD."""

    body: Json
    kind: str
    replaced: int = 0


def _read(answer: Answer, config: HttpRequestConfig) -> _Body:
    """Return the body as `response` asks for it; with auto, its media type decides.

    A body of a type that is neither JSON nor surely text or binary is a text if its bytes are one.
    """
    if config.response == "none" or not answer.body:
        return _Body(None, "none")
    if config.response == "base64":
        return _Body(media.as_base64(answer.body), "base64")
    coding = media.unread_coding(answer.headers.get("content-encoding", ""))
    if coding is not None:
        raise _unreadable(config, f"is compressed with {coding!r}, which was not asked for; or set response: base64")
    said = answer.headers.get("content-type", "")
    kind = media.media_type(said)
    if config.response == "json" or (config.response == "auto" and media.is_json(kind)):
        return _Body(_json(answer, config), "json")
    if config.response == "auto" and not media.is_text(kind):
        text = None if media.is_binary(kind) else media.strict_text(answer.body, said)
        return _Body(media.as_base64(answer.body), "base64") if text is None else _Body(text, "text")
    text = _text(answer).replace("\0", "\ufffd")
    return _Body(text, "text", text.count("\ufffd"))


def _json(answer: Answer, config: HttpRequestConfig) -> Json:
    source = media.json_source(answer.body, answer.headers.get("content-type", ""))
    if source is None:
        raise _unreadable(config, "is not JSON: its bytes are no text in its charset")
    try:
        return payload.loads(source, big_integers_as_text=config.big_integers == "text")
    except payload.PayloadError as error:
        where = f" at {error.path}" if error.path else ""
        hint = "; or set big_integers: text" if "64 bits" in str(error) else ""
        raise _unreadable(config, f"{error}{hint}", where=where) from None


def _unreadable(config: HttpRequestConfig, what: str, *, where: str = "") -> Permanent:
    return Permanent(f"the answer of {network.shown(config.url)}{where} {what}", kind="response")


def _text(answer: Answer, *, most: int | None = None) -> str:
    """Return the body as text; with `most`, its beginning of about so many characters."""
    body = answer.body if most is None else answer.body[: 4 * most]
    found = network.text(body, answer.headers.get("content-type", ""))
    return found if most is None else found[:most]
