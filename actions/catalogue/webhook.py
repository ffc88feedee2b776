"""The action `webhook`: tell another system of an event, signed as Standard Webhooks says."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from pydantic import Field, field_validator

from actions import expressions, network, payload
from actions.base import Action, Config, Context, Example, Json, Output, Permanent, Retryable, Use
from actions.catalogue.http_request import retry_after
from actions.durations import Seconds
from actions.moments import iso
from actions.texts import Text, TextOrTexts

_PREFIX = "whsec_"
_LEAST, _MOST, _MOST_SECRETS = 24, 64, 5
# How long the response to a request that was sent is waited for after the run was cancelled.
_PATIENCE_SECONDS = 3.0
_TRY_AGAIN = frozenset({408, 425, 429})


class WebhookConfig(Config):
    uses: ClassVar[Mapping[str, Use]] = {"url": Use.URL, "secret": Use.DECISIVE, "timeout": Use.DECISIVE}

    url: Text = Field(min_length=1, description="Where the event is sent to", examples=["https://example.com/hooks"])
    secret: TextOrTexts = Field(
        description="`whsec_` and 24 to 64 bytes in base64, as the receiver has it; or, while it changes, a list of "
        "such secrets: the event is signed with each",
        examples=["{{ input.secret }}"],
    )
    type: Text = Field(
        min_length=1, max_length=200, description="What has happened, such as `order.paid`", examples=["order.paid"]
    )
    data: Any = Field(default=None, description="What there is to say about it; without it, the step's own input")
    timeout: Seconds | None = Field(
        default=None,
        description="For the request: at most the step's own timeout. Without it the request may take as long as the "
        "step; a step without a timeout then may take 5 s more than this",
    )

    @field_validator("secret")
    @classmethod
    def _are_secrets(cls, given: str | list[str]) -> str | list[str]:
        for text in given if isinstance(given, list) else [given]:
            # An expression is checked when it is rendered.
            if not expressions.has_expression(text) and _key(text) is None:
                raise ValueError(f"must be {_PREFIX} and {_LEAST} to {_MOST} bytes in base64; the value is not shown")
        if isinstance(given, list) and len(given) > _MOST_SECRETS:
            raise ValueError(f"has {len(given)} secrets; {_MOST_SECRETS} are the limit")
        return given


class WebhookOutput(Output):
    id: str = Field(description="The event's id, the same for every attempt: receivers know a repetition by it")
    status: int = Field(description="The status of the response, 200 to 299")


class Webhook(Action[WebhookConfig]):
    """Redirects are not followed: the event is signed for the receiver that was named."""

    name: ClassVar[str] = "webhook"
    summary: ClassVar[str] = "Tell another system of an event, with a signature"
    description: ClassVar[str] = (
        'A POST of `{"type", "timestamp", "data"}` with the headers `webhook-id`, `webhook-timestamp` and '
        "`webhook-signature` of Standard Webhooks (standardwebhooks.com), for which receivers have libraries. Each "
        "attempt has the same id and a new timestamp. 2xx is a success; 408, 425, 429 and 5xx are tried again, later "
        "if the response has a `Retry-After`; any other status fails the step, also a redirect. Addresses that are "
        "not public are refused, unless the installation lists them (`OUTBOUND_ALLOW`)."
    )
    output: ClassVar[str] = '{"id": the id of the event, "status": number}'
    output_class: ClassVar[type[Output] | None] = WebhookOutput
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            title="An order was paid",
            config={
                "url": "https://api.example.com/echo",
                "secret": "{{ input.secret }}",
                "type": "order.paid",
                "data": {"order": 4711},
            },
            input={"secret": "whsec_" + "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"},
            output={"status": 200},
        ),
    )
    timeout_seconds: ClassVar[float] = 30.0
    timeout_field: ClassVar[str | None] = "timeout"
    config_class: ClassVar[type[Config]] = WebhookConfig

    @classmethod
    def faults(cls, config: Mapping[str, Json]) -> Iterator[tuple[tuple[str, ...], str]]:
        url = config.get("url")
        if not isinstance(url, str):
            return
        begin = url.partition("{{")[0]
        fault = network.beginning_fault(begin) if begin and expressions.has_expression(url) else None
        if fault is None and not expressions.has_expression(url):
            fault = network.url_fault(url)
        if fault is not None:
            yield ("url",), fault

    @classmethod
    def reads_input(cls, config: Json) -> bool:
        return not isinstance(config, dict) or "data" not in config

    def perform(self, config: WebhookConfig, context: Context) -> Json:
        data = config.data if "data" in config.model_fields_set else context.input
        body = payload.dumps({"type": config.type, "timestamp": iso(context.now), "data": data}).encode()
        event = f"msg_{context.idempotency_key}"
        headers = {"Content-Type": "application/json", **_signed(config, event, int(context.now.timestamp()), body)}
        answer = network.request(
            network.Call("POST", config.url, headers=headers, content=body, follow=False),
            timeout_seconds=context.timeout_seconds if config.timeout is None else config.timeout,
            cancelled=context.cancelled,
            patience_seconds=_PATIENCE_SECONDS,
        )
        if 200 <= answer.status < 300:
            return {"id": event, "status": answer.status}
        message = f"webhook: {network.shown(config.url)} answered {answer.status} {answer.reason}".rstrip()
        kind = f"http:{answer.status}"
        details: dict[str, Json] = {"status": answer.status, "id": event}
        if answer.status in _TRY_AGAIN or answer.status >= 500:
            delay = retry_after(answer.headers.get("retry-after"), now=context.now)
            raise Retryable(message, kind=kind, delay_seconds=delay, details=details)
        hint = "; redirects are not followed, so give the last address" if answer.status in network.REDIRECTS else ""
        raise Permanent(f"{message}{hint}", kind=kind, details=details)


def _signed(config: WebhookConfig, event: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers of Standard Webhooks: one signature for each secret."""
    signatures = []
    for secret in config.secret if isinstance(config.secret, list) else [config.secret]:
        key = _key(secret)
        if key is None:
            raise Permanent("webhook: with.secret is no secret of Standard Webhooks (whsec_...)", kind="config")
        digest = hmac.digest(key, f"{event}.{timestamp}.".encode() + body, hashlib.sha256)
        signatures.append(f"v1,{base64.b64encode(digest).decode()}")
    return {
        "webhook-id": event,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }


def _key(secret: str) -> bytes | None:
    """Return the bytes of a secret; None if it is none."""
    try:
        found = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (ValueError, binascii.Error):
        return None
    return found if secret.startswith(_PREFIX) and _LEAST <= len(found) <= _MOST else None
