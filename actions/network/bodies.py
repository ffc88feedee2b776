"""The body of a response, as a server sent it, into bytes and into text: without its chunks, decompressed, decoded.

Whatever a server sends costs a bounded amount of time and memory here, and what it says of its body never raises
anything but the exceptions that are named.
"""

from __future__ import annotations

import codecs
import re
import zlib
from functools import cache, lru_cache
from typing import overload

MAX_BODY = 10 * 1024 * 1024
MAX_CHUNKS = 100_000
# What the chunks of a body may add to it: their lengths, their extensions, and the trailers.
MAX_CHUNK_BYTES = 1024 * 1024
# Two are usual. Ten megabytes can be compressed thousands of times without growing or shrinking, and each layer costs
# as much as the first.
MAX_CODINGS = 5
# Of a body in a charset of several bytes a character.
MAX_WRONG = 10_000
_BLOCK_BYTES = 64 * 1024

_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})[^\n]*\n")
_LINE_END = re.compile(rb"\r*\n")
_TRAILERS = re.compile(rb"(?:[^\r\n]+\r?\n)*\r?\n")
_CHARSET = re.compile(r"(?:^|[;\s])charset\s*=\s*[\"']?([A-Za-z0-9._:-]{1,40})", re.IGNORECASE)
# The charsets of the web (encoding.spec.whatwg.org), by Python's names. Python knows further ones, which are no
# charsets (idna, punycode, unicode_escape) or never end: punycode takes minutes for a megabyte.
_ONE_BYTE = frozenset(
    {
        "ascii",
        "koi8-r",
        "koi8-u",
        "mac-cyrillic",
        "mac-roman",
        "cp866",
        "cp874",
        "tis-620",
        *(f"cp125{number}" for number in range(9)),
        *(f"iso8859-{number}" for number in (*range(1, 12), 13, 14, 15, 16)),
    }
)
_MANY_BYTES = frozenset(
    {
        *("utf-16", "utf-16-le", "utf-16-be", "big5", "big5hkscs", "euc_jp", "euc_kr", "cp949"),
        *("gb2312", "gbk", "gb18030", "iso2022_jp", "shift_jis", "cp932"),
    }
)


class TooLarge(Exception):
    """A response that is larger than what is accepted; the message says of what it has too much."""


class Broken(Exception):
    """A response that cannot be used, though libcurl took it for a whole one."""


def unchunked(raw: bytes) -> tuple[bytes, bool]:
    """Return a chunked body without its chunks, and whether nothing follows its end.

    Raises TooLarge for more than MAX_CHUNKS chunks, and Broken for a body that has no end.
    """
    pieces: list[bytes] = []
    at = 0
    while True:
        head = _CHUNK.match(raw, at)
        if head is None:
            raise Broken("the chunks of its body cannot be read")
        length = int(head[1], 16)
        if length == 0:
            break
        if len(pieces) == MAX_CHUNKS:
            raise TooLarge(f"a body of more than {MAX_CHUNKS:,} chunks")
        pieces.append(raw[head.end() : head.end() + length])
        line_end = _LINE_END.match(raw, head.end() + length)
        if line_end is None:
            raise Broken("the chunks of its body cannot be read")
        at = line_end.end()
    end = _TRAILERS.match(raw, head.end())
    return b"".join(pieces), end is not None and end.end() == len(raw)


def decompressed(body: bytes, coding: str, *, most: int) -> bytes:
    """Return a body without its Content-Encoding, as far as that is gzip or deflate; another coding is left as it is.

    Raises TooLarge beyond `most` bytes, before more than that are in memory, and for more than MAX_CODINGS codings;
    zlib.error for a body that is broken or cut off.
    """
    names = [name for one in coding.lower().split(",") if (name := one.strip()) in ("gzip", "x-gzip", "deflate")]
    if len(names) > MAX_CODINGS:
        raise TooLarge(f"a body that is compressed more than {MAX_CODINGS} times")
    for name in reversed(names):
        if name != "deflate":
            body = _inflated(body, zlib.MAX_WBITS | 16, most=most)
            continue
        try:
            body = _inflated(body, zlib.MAX_WBITS, most=most)
        except zlib.error:
            # Some servers leave out the zlib header that RFC 9110 wants.
            body = _inflated(body, -zlib.MAX_WBITS, most=most)
    return body


def _inflated(body: bytes, window_bits: int, *, most: int) -> bytes:
    inflating = zlib.decompressobj(window_bits)
    found = inflating.decompress(body, most + 1)
    if len(found) > most:
        raise TooLarge(f"more than {most // 1024 // 1024} MB")
    if not inflating.eof:
        raise zlib.error("the compressed body is cut off")
    return found


def text(body: bytes, content_type: str) -> str:
    """Return a body as text: in the charset of its Content-Type if that is one of the web's, else as UTF-8.

    What the charset does not have becomes U+FFFD. A body with more than MAX_WRONG wrong characters is read as UTF-8,
    too. Never raises.
    """
    name = charset(content_type)
    if name in _ONE_BYTE:
        return codecs.charmap_decode(body, "strict", _table(name))[0]
    found = _in_blocks(body, name) if name in _MANY_BYTES else None
    return body.decode(errors="replace") if found is None else found


@overload
def charset(content_type: str) -> str: ...
@overload
def charset(content_type: str, *, unknown: None) -> str | None: ...
def charset(content_type: str, *, unknown: str | None = "utf-8") -> str | None:
    """Return Python's name of the charset that a Content-Type names; UTF-8 if it names none, `unknown` for others.

    Others are those that are none of the web's.
    """
    said = _CHARSET.search(content_type[:1000])
    if said is None:
        return "utf-8"
    return _known(said[1]) or unknown


def _in_blocks(body: bytes, charset: str) -> str | None:
    """Return a body as text; None if more than MAX_WRONG characters are wrong, so that it is in another charset.

    Each wrong character costs half a microsecond, in UTF-8 alone nothing.
    """
    if charset == "utf-16":
        # Its decoder refuses a text that does not begin with a mark of its order, in which case the web's is meant.
        charset = "utf-16-be" if body.startswith(codecs.BOM_UTF16_BE) else "utf-16-le"
        body = body[2:] if body.startswith((codecs.BOM_UTF16_BE, codecs.BOM_UTF16_LE)) else body
    decoder = codecs.getincrementaldecoder(charset)("replace")
    pieces: list[str] = []
    wrong = 0
    for at in range(0, len(body), _BLOCK_BYTES):
        try:
            piece = decoder.decode(body[at : at + _BLOCK_BYTES], at + _BLOCK_BYTES >= len(body))
        except UnicodeError:
            return None  # an escape sequence that has no end: not even as a wrong character
        wrong += piece.count("\ufffd")
        if wrong > MAX_WRONG:
            return None
        pieces.append(piece)
    return "".join(pieces)


@lru_cache(maxsize=64)
def _known(name: str) -> str | None:
    """Return Python's name of a charset; None for one that is not of the web."""
    try:
        known = codecs.lookup(name).name
    except LookupError:
        return None
    return known if known == "utf-8" or known in _ONE_BYTE or known in _MANY_BYTES else None


@cache
def _table(charset: str) -> str:
    """Return the characters of a charset's 256 bytes. By such a table no byte is an error, and errors cost time."""
    return bytes(range(256)).decode(charset, errors="replace")
