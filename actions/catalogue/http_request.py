"""The action `http_request`: send an HTTP request, and return the response."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from actions import expressions, network, payload
from actions.base import Action, Config, Context, Json, Permanent, Retryable
from actions.durations import Seconds
from actions.network import Answer
from actions.texts import Text

_OURS = frozenset({"connection", "content-length", "host", "transfer-encoding"})
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_TRY_AGAIN = frozenset({408, 425, 429})
_LONGEST_DELAY = 86_400.0
_LONGEST_DATE = 100

Method = Annotated[
    Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
    BeforeValidator(lambda given: given.upper() if isinstance(given, str) else given),
]
Scalar = str | int | float | bool


class HttpRequestConfig(Config):
    url: Text = Field(
        min_length=1,
        description="http or https; the host must have a public address",
        examples=["https://api.example.com/orders"],
    )
    method: Method = "GET"
    headers: dict[str, Text] = Field(default_factory=dict, examples=[{"Accept": "application/json"}])
    query: dict[str, Scalar | list[Scalar] | None] = Field(
        default_factory=dict, description="Added to the query of the URL; a parameter that is null is left out"
    )
    body: Any = Field(default=None, description="A text is sent as it is, anything else as JSON")
    body_template: Any = Field(default=None, description="Like body, but its expressions are evaluated by the action")
    timeout: Seconds | None = Field(
        default=None, description="For the whole exchange, redirects included; at most the step's own timeout"
    )
    response: Literal["auto", "json", "text", "none"] = Field(
        default="auto",
        description="How to read the response's body; auto reads JSON if the Content-Type says JSON, else text",
    )
    forward_body: bool = Field(
        default=False, description="Whether a redirect that keeps the body (307, 308) may take it to another origin"
    )
    credential: Text | None = Field(default=None, description="Name of a stored credential")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.body is not None and self.body_template is not None:
            raise ValueError("give body or body_template, not both")
        ours = next((name for name in self.headers if name.lower() in _OURS), None)
        if ours is not None:
            raise ValueError(f"the header {ours!r} is set by the request itself; leave it out")
        return self


class HttpRequest(Action[HttpRequestConfig]):
    """A 2xx response is the output. For other responses the status decides whether another attempt is made."""

    name: ClassVar[str] = "http_request"
    aliases: ClassVar[tuple[str, ...]] = ("http_call",)
    summary: ClassVar[str] = "Send an HTTP request and read the response"
    output: ClassVar[str] = '{"status": number, "headers": {lower-case name: text}, "body": JSON, text or null}'
    timeout_seconds: ClassVar[float] = 30.0
    raw: ClassVar[frozenset[str]] = frozenset({"body_template"})
    config_class: ClassVar[type[Config]] = HttpRequestConfig

    def perform(self, config: HttpRequestConfig, context: Context) -> Json:
        if config.credential is not None:
            raise Permanent("credentials are not available yet; leave `credential` out", kind="credential")
        content, content_type = _content(config, context)
        call = network.Call(
            method=config.method,
            url=config.url,
            headers=_headers(config.headers, content_type=content_type, key=context.idempotency_key),
            query=config.query and {name: value for name, value in config.query.items() if value is not None},
            content=content,
            forward_body=config.forward_body,
        )
        timeout = context.timeout_seconds if config.timeout is None else min(config.timeout, context.timeout_seconds)
        # A cancel may cut a reading request off. A request that changes something is waited for: only its response
        # says whether the change was made.
        cancelled = context.cancelled if config.method in _READS else None
        answer = network.request(call, timeout_seconds=timeout, cancelled=cancelled)
        _refuse_failure(answer, config, now=context.now)
        return {"status": answer.status, "headers": dict(answer.headers), "body": _read(answer, config)}


def _content(config: HttpRequestConfig, context: Context) -> tuple[bytes | None, str | None]:
    """Return the request's body and its content type."""
    body = config.body
    if config.body_template is not None:
        body = expressions.render(config.body_template, context.names)
    if body is None:
        return None, None
    if isinstance(body, str):
        return body.encode(errors="replace"), "text/plain; charset=utf-8"
    return payload.dumps(body).encode(), "application/json"


def _headers(given: Mapping[str, str], *, content_type: str | None, key: str) -> dict[str, str]:
    """Return the config's headers, with Idempotency-Key and Content-Type added unless the config has them."""
    added = {"Idempotency-Key": key}
    if content_type is not None:
        added["Content-Type"] = content_type
    if not given:
        return added
    known = {name.lower() for name in given}
    return {**{name: value for name, value in added.items() if name.lower() not in known}, **given}


def _refuse_failure(answer: Answer, config: HttpRequestConfig, *, now: datetime) -> None:
    """Raise Retryable for a status that may pass (408, 425, 429, 5xx), Permanent for any other that is not 2xx."""
    if 200 <= answer.status < 300:
        return
    message = f"{config.method} {network.shown(config.url)} answered {answer.status} {answer.reason}".rstrip()
    kind = f"http:{answer.status}"
    details: dict[str, Json] = {"status": answer.status, "body": _text(answer, most=1000)}
    if answer.status in _TRY_AGAIN or answer.status >= 500:
        delay = _retry_after(answer.headers.get("retry-after"), now=now)
        raise Retryable(message, kind=kind, delay_seconds=delay, details=details)
    raise Permanent(message, kind=kind, details=details)


def _retry_after(header: str | None, *, now: datetime) -> float | None:
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


def _read(answer: Answer, config: HttpRequestConfig) -> Json:
    if config.response == "none" or not answer.body:
        return None
    if config.response == "text":
        return _text(answer)
    says_json = answer.headers.get("content-type", "").partition(";")[0].strip().endswith(("/json", "+json"))
    if config.response == "auto" and not says_json:
        return _text(answer)
    try:
        return payload.loads(answer.body)
    except payload.PayloadError as error:
        if config.response == "auto":
            return _text(answer)
        where = f" at {error.path}" if error.path else ""
        raise Permanent(f"the answer of {network.shown(config.url)}{where} {error}", kind="response") from None


def _text(answer: Answer, *, most: int | None = None) -> str:
    """Return the body as text; with `most`, its beginning of about so many characters."""
    body = answer.body if most is None else answer.body[: 4 * most]
    found = network.text(body, answer.headers.get("content-type", ""))
    return found if most is None else found[:most]
