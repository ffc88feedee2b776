"""The action `email`: send a mail over a mail server of the workspace's own."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, Field, model_validator

from actions.base import Action, Config, Context, Example, Json, Output, Permanent, Use
from actions.credentials import wrong_kind
from actions.durations import Seconds
from actions.network import mail
from actions.network.dialing import Limit
from actions.network.forms import File
from actions.texts import Text, TextOrTexts

_KIND = "smtp"
_MOST_RECIPIENTS = 100
_MOST_ATTACHMENTS = 20
_MOST_BYTES = 10 * 1024 * 1024
_LONGEST_ADDRESS = 500
_LONGEST_SUBJECT = 998  # of a line, RFC 5322
# Of Unicode, too: Python counts its line separators as line breaks.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_LOCAL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+")
_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)
_POLICY = policy.SMTP.clone(max_line_length=78)


def _one_line(text: str) -> str:
    """Refuse a text that would end its header and begin another one."""
    if _CONTROL.search(text):
        raise ValueError("has a line break or another control character, which a header of a mail cannot have")
    return text


def _address(text: str) -> str:
    _parsed(text)
    return text


def _parsed(text: str) -> Address:
    """Return the one address in a text such as `Ann <ann@example.com>`. Raises ValueError."""
    _one_line(text)
    if len(text) > _LONGEST_ADDRESS:
        raise ValueError(f"has {len(text):,} characters; an address with its name has at most {_LONGEST_ADDRESS}")
    if not text.rpartition("@")[0].rpartition("<")[2].isascii():
        raise ValueError(f"has an address whose part before the @ is not ASCII: {text[:100]!r}")
    try:
        found: Any = _POLICY.header_factory("To", text)
    except RecursionError:
        raise ValueError(f"is not one mail address: {text[:100]!r}") from None
    if found.defects or len(found.addresses) != 1 or not _plain(found.addresses[0]):
        raise ValueError(f"is not one mail address: {text[:100]!r}; write ann@example.com or Ann <ann@example.com>")
    one: Address = found.addresses[0]
    try:
        domain = one.domain if one.domain.isascii() else one.domain.encode("idna").decode()
    except UnicodeError:
        raise ValueError(f"has no valid domain: {text[:100]!r}") from None
    return Address(one.display_name, one.username, domain)


def _plain(address: Address) -> bool:
    """Whether an address is as the forms of the web take it (html.spec.whatwg.org): without quotes and comments."""
    return bool(address.domain) and bool(_LOCAL.fullmatch(address.username))


def _addresses(given: TextOrTexts) -> TextOrTexts:
    for one in _listed(given):
        _parsed(one)
    return given


def _listed(given: TextOrTexts | None) -> list[str]:
    return [] if given is None else given if isinstance(given, list) else [given]


AddressText = Annotated[Text, AfterValidator(_address)]
Addresses = Annotated[TextOrTexts, AfterValidator(_addresses)]


class EmailConfig(Config):
    uses: ClassVar[Mapping[str, Use]] = {
        "credential": Use.DECISIVE,
        "from": Use.DECISIVE,
        "to": Use.DECISIVE,
        "cc": Use.DECISIVE,
        "bcc": Use.DECISIVE,
        "reply_to": Use.DECISIVE,
        "subject": Use.PROSE,
        "text": Use.PROSE,
        "html": Use.PROSE,
        "timeout": Use.DECISIVE,
    }

    credential: Text = Field(description="Name of a stored credential of kind smtp: the mail server", examples=["mail"])
    from_: AddressText = Field(alias="from", examples=["Shop <shop@example.com>"])
    to: Addresses = Field(description="An address, or a list of them", examples=["ann@example.com"])
    cc: Addresses | None = None
    bcc: Addresses | None = Field(default=None, description="Receivers that the others do not see")
    reply_to: AddressText | None = None
    subject: Annotated[Text, AfterValidator(_one_line)] = Field(min_length=1, max_length=_LONGEST_SUBJECT)
    text: Text | None = Field(default=None, description="The mail as plain text")
    html: Text | None = Field(default=None, description="The mail as HTML; give text as well for readers without HTML")
    attachments: list[File] = Field(
        default_factory=list,
        max_length=_MOST_ATTACHMENTS,
        description="Files: {text or base64, filename, type}; at most 20",
    )
    timeout: Seconds = Field(default=30.0, description="For the whole conversation with the mail server")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.text is None and self.html is None:
            raise ValueError("give text or html, or both")
        nameless = next((at for at, one in enumerate(self.attachments) if not one.filename), None)
        if nameless is not None:
            raise ValueError(f"attachments[{nameless}] needs a filename")
        for at, one in enumerate(self.attachments):
            if _CONTROL.search(one.filename or ""):
                raise ValueError(f"attachments[{at}] has a filename that a mail cannot have")
            if one.type is not None and not _MEDIA_TYPE.fullmatch(one.type):
                raise ValueError(f"attachments[{at}].type must be a media type such as application/pdf")
        if len(self.recipients) > _MOST_RECIPIENTS:
            raise ValueError(f"has {len(self.recipients)} recipients; at most {_MOST_RECIPIENTS} together")
        return self

    @property
    def recipients(self) -> list[str]:
        """Everybody who receives the mail: their bare addresses, each once."""
        given = [*_listed(self.to), *_listed(self.cc), *_listed(self.bcc)]
        return list(dict.fromkeys(_parsed(one).addr_spec for one in given))


class Refused(Output):
    address: str = Field(description="The recipient's address")
    code: int = Field(description="The server's answer, such as 550")
    message: str = Field(description="The server's words")


class EmailOutput(Output):
    message_id: str = Field(description="The Message-ID of the mail, the same for each attempt")
    accepted: list[str] = Field(description="The addresses that the mail server took")
    refused: list[Refused] = Field(description="Those that it did not take, with its answer")


class Email(Action[EmailConfig]):
    name: ClassVar[str] = "email"
    aliases: ClassVar[tuple[str, ...]] = ("send_email",)
    summary: ClassVar[str] = "Send a mail over your own mail server"
    description: ClassVar[str] = (
        "Sends one mail, as text, HTML or both, with files, over the mail server of a stored credential of kind "
        "`smtp`. The connection is encrypted as the credential says, and is never made without when the server does "
        "not offer it. A step succeeds if the server takes the mail for at least one recipient; `refused` has the "
        "others. What the server calls temporary (4xx) is tried again as `retry` says, and `retry.on` calls it `smtp`. "
        "Every attempt has the same Message-ID, by which receivers know a mail that was sent twice. At most "
        f"{_MOST_RECIPIENTS} recipients, {_MOST_ATTACHMENTS} files and 10 MB in all."
    )
    output: ClassVar[str] = '{"message_id": text, "accepted": [address], "refused": [{"address", "code", "message"}]}'
    output_class: ClassVar[type[Output] | None] = EmailOutput
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            title="Tell a customer that an order was sent",
            config={
                "credential": "mail",
                "from": "Shop <shop@example.com>",
                "to": "{{ input.email }}",
                "subject": "Order {{ input.order }} is on its way",
                "text": "It should arrive tomorrow.",
            },
            input={"email": "ann@example.com", "order": 4711},
            output={"accepted": ["ann@example.com"], "refused": []},
        ),
    )
    timeout_seconds: ClassVar[float] = 35.0
    timeout_field: ClassVar[str | None] = "timeout"
    error_kinds: ClassVar[frozenset[str]] = frozenset({mail.TEMPORARY})
    credential_kinds: ClassVar[tuple[str, ...]] = (_KIND,)
    own_input: ClassVar[bool] = False
    config_class: ClassVar[type[Config]] = EmailConfig

    def perform(self, config: EmailConfig, context: Context) -> Json:
        credential = context.credential(config.credential)
        if credential.kind != _KIND:
            raise wrong_kind(credential, wanted=[_KIND], action=self.name)
        size = _size(config)
        if size > _MOST_BYTES:
            raise Permanent(
                f"texts and files of the mail have {size:,} bytes; at most {_MOST_BYTES:,}. Send a link in place of a "
                "large file",
                kind="too_large",
            )
        message = _message(config, key=context.idempotency_key, now=context.now)
        recipients = config.recipients
        refused = mail.send(
            mail.Mail(_parsed(config.from_).addr_spec, recipients, message.as_bytes()),
            server=_server(credential.values),
            limit=Limit.of(config.timeout, context.cancelled),
        )
        not_taken = {one.address for one in refused}
        return {
            "message_id": str(message["Message-ID"]),
            "accepted": [one for one in recipients if one not in not_taken],
            "refused": [{"address": one.address, "code": one.code, "message": one.message} for one in refused],
        }


def _server(values: Mapping[str, Any]) -> mail.Server:
    return mail.Server(
        host=values["host"],
        port=int(values["port"]),
        security=values["security"],
        username=values.get("username") or "",
        password=values.get("password") or "",
    )


def _message(config: EmailConfig, *, key: str, now: datetime) -> EmailMessage:
    """Return the mail. Nothing of it depends on the attempt but its date."""
    sender = _parsed(config.from_)
    message = EmailMessage(policy=_POLICY)
    message["From"] = sender
    message["To"] = _header(_listed(config.to))
    if config.cc is not None:
        message["Cc"] = _header(_listed(config.cc))
    if config.reply_to is not None:
        message["Reply-To"] = _parsed(config.reply_to)
    message["Subject"] = config.subject
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{re.sub(r'[^A-Za-z0-9_-]', '', key)}@{sender.domain}>"
    if config.text is not None:
        message.set_content(config.text)
        if config.html is not None:
            message.add_alternative(config.html, subtype="html")
    else:
        message.set_content(config.html or "", subtype="html")
    for one in config.attachments:
        _attach(message, one)
    return message


def _size(config: EmailConfig) -> int:
    """Return how many bytes the texts and files of the mail have before they are encoded."""
    texts = sum(len((text or "").encode()) for text in (config.text, config.html))
    return texts + sum(len(one.part("").content) for one in config.attachments)


def _header(given: Iterable[str]) -> tuple[Address, ...]:
    return tuple(_parsed(one) for one in given)


def _attach(message: EmailMessage, file: File) -> None:
    part = file.part("")
    named = mimetypes.guess_type(file.filename or "")[0] or "application/octet-stream"
    main, _, sub = (file.type or named).partition("/")
    charset = {"charset": "utf-8"} if file.text is not None and main == "text" else None
    message.add_attachment(part.content, maintype=main, subtype=sub, filename=file.filename, params=charset)
