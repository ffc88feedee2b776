"""Take secrets out of what is logged: signed links, query strings, the user and password of URLs, tokens, credentials.

Every line of our processes passes `redact_event`, whoever logs it: Django with the path of a refused request, Granian
with its access log, a library with the URL that it could not reach. A secret in the path of another site's URL, or in a
value that bears no mark, is not recognised.
"""

from __future__ import annotations

import logging
import re
from typing import Any

from structlog.typing import EventDict

from actions.redaction import hide

REDACTED = "[redacted]"
_WORD = re.compile(r"\S+")
# What can be no part of a URL, but may stand behind one: quotes, brackets, the punctuation of a sentence.
_BEHIND = "\"'`>)]},;:.!"
# /approve/ and the token behind it. Django decodes a path before it looks for the page, so each letter may be written
# by its number: /%61pprove/ is the same page.
_LINK = re.compile(
    "((?:/|%2f)(?:a|%[46]1)(?:p|%[57]0){2}(?:r|%[57]2)(?:o|%[46]f)(?:v|%[57]6)(?:e|%[46]5)(?:/|%2f)+)"
    r"""[^\s/?#"'<>)\]},]+""",
    re.IGNORECASE,
)
# As Django's signing makes it: a value, a time of six characters and a signature of 43, here without the value.
_SIGNATURE = re.compile(r"(:|%3a)([A-Za-z0-9]{6})(:|%3a)[A-Za-z0-9_-]{43}", re.IGNORECASE)
_TOKEN = re.compile(r"\bstw_[A-Za-z0-9_-]{20,}")
_LOGIN = re.compile(
    r"(\bbearer\s{1,9}|\bauthorization[\"']?\s{0,9}[:=]\s{0,9}[\"']?(?:\w{1,20}\s{1,9})?)[A-Za-z0-9._~+/=-]{16,}",
    re.IGNORECASE,
)
# Without one of these, a text has nothing to redact. Most texts of most lines have none.
_MARK = re.compile(r"[?@/%:=]|stw_|[Bb][Ee][Aa][Rr][Ee][Rr]")
# What our own processors put into each line.
_OURS = frozenset({"timestamp", "level"})
# Keys whose value is a query string without its question mark.
_QUERIES = frozenset({"query_string", "querystring", "qs"})


class RedactArguments(logging.Filter):
    """Redact query strings that a message gets as an argument: an access log writes them without a question mark."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, dict) and not _QUERIES.isdisjoint(record.args):
            record.args = {
                name: REDACTED if name in _QUERIES and value else value for name, value in record.args.items()
            }
        return True


def redact_event(_: Any, __: str, event: EventDict) -> EventDict:
    """A processor of structlog: redact all texts of an event, those of lists and dictionaries in it too."""
    return {
        key if key.isidentifier() else redact(key): value if key in _OURS else redact_value(value, key=key)
        for key, value in event.items()
    }


def redact_value(value: Any, *, key: str = "") -> Any:
    """Return a value without secrets. What is neither a JSON value nor a list or dictionary becomes its text."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, dict):
        return {redact(str(name)): redact_value(one, key=str(name)) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact_value(one, key=key) for one in value]
    found = value if isinstance(value, str) else str(value)
    return REDACTED if found and key.lower() in _QUERIES else redact(found)


def redact(text: str) -> str:
    """Return a text without secrets: `GET http://u:p@host/x?key=1` becomes `GET http://[redacted]@host/x?[redacted]`."""
    text = hide(text)
    if not _MARK.search(text):
        return text
    if "?" in text or "@" in text:
        text = _WORD.sub(_redact_word, text)
    if "/" in text or "%" in text:
        text = _LINK.sub(rf"\1{REDACTED}", text)
    if ":" in text or "%3" in text:
        text = _SIGNATURE.sub(rf"\1\2\3{REDACTED}", text)
    if "stw_" in text:
        text = _TOKEN.sub(f"stw_{REDACTED}", text)
    return _LOGIN.sub(rf"\1{REDACTED}", text)


def _redact_word(match: re.Match[str]) -> str:
    word = match[0]
    slashes = word.find("//")
    at = word.rfind("@")
    if 0 <= slashes < at:
        # Also where an @ of the path is taken for the one after a password: a password may hold slashes.
        word = f"{word[: slashes + 2]}{REDACTED}{word[at:]}"
    path, mark, query = word.partition("?")
    kept = query[len(query.rstrip(_BEHIND)) :]
    return f"{path}?{REDACTED}{kept}" if mark and len(kept) < len(query) else word
