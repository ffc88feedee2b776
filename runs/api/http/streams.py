"""Read a request body in pieces, as lines of NDJSON or elements of one JSON array, without holding all of it."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator

CHUNK_BYTES = 256 * 1024
# Members of one gzip body. Tools that compress in blocks make one per 64 KB; each costs a copy of the piece it is in.
MOST_MEMBERS = 10_000
_SPACE = b" \t\r\n"
# Possessive quantifiers: otherwise the match needs memory for each escape in a text that does not end.
_QUOTED = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["\[\]{},]', re.DOTALL)
_QUOTE, _COMMA = b'",'
_OPEN, _CLOSE = b"[{", b"]}"

_NO_ARRAY = "must be a JSON array of objects; send one object per line as application/x-ndjson"

# The number of a line or element, from 1, and its bytes; None if it is too long.
Entry = tuple[int, bytes | None]
# Returns at most this many bytes of the body; no bytes at its end.
Read = Callable[[int], bytes]


class Broken(Exception):
    """The body cannot be read any further; `status` is the HTTP status for that."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def chunks(read: Read, *, most: int, gzipped: bool = False) -> Iterator[bytes]:
    """Yield the body in pieces of at most CHUNK_BYTES, decompressed. Raises Broken (413) beyond `most` bytes.

    For gzip the limit holds before and after decompression, because a long body may decompress to nothing. Raises
    Broken (413) for more than MOST_MEMBERS members, too.
    """
    pieces = _limited(iter(lambda: read(CHUNK_BYTES), b""), most=most)
    return _limited(_unpacked(pieces), most=most) if gzipped else pieces


def lines(source: Iterator[bytes], *, longest: int) -> Iterator[Entry]:
    """Yield (number, line) for each line that is not blank, from 1; None for a line of more than `longest` bytes."""
    number, kept, long = 0, b"", False
    for chunk in source:
        parts = (kept + chunk).split(b"\n")
        kept = parts.pop()
        for part in parts:
            number += 1
            if long or len(part) > longest:
                yield number, None
            elif part.strip(_SPACE):
                yield number, part
            long = False
        if len(kept) > longest:
            kept, long = b"", True
    if long:
        yield number + 1, None
    elif kept.strip(_SPACE):
        yield number + 1, kept


def elements(source: Iterator[bytes], *, longest: int) -> Iterator[Entry]:
    """Yield (number, text) for each element of one JSON array, from 1. The text is not checked: it may be invalid JSON.

    Raises Broken if the body is not one array, if the array does not end, or for an element of more than `longest`
    bytes.
    """
    array, number = _Array(), 0
    for chunk in source:
        for element in array.feed(chunk):
            number += 1
            yield number, element
        if array.in_hand > longest:
            raise Broken(f"element {number + 1} is longer than {longest >> 20} MB", status=413)
    if array.depth == 0 and not array.ended:
        raise Broken(_NO_ARRAY)
    if not array.ended:
        raise Broken(f"the array does not end; its last whole element is number {number}")


class _Array:
    """Splits a JSON array that comes in pieces at the commas between its elements."""

    def __init__(self) -> None:
        self.depth = 0
        self.ended = False
        # The text since the last complete element, and how far it was scanned.
        self._text, self._at = b"", 0
        self._quoted = False
        self._empty = True

    @property
    def in_hand(self) -> int:
        """The number of bytes kept because their element is not complete."""
        return len(self._text)

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the elements that end in this piece."""
        text = self._text = self._text + chunk
        begin = 0
        for at in self._bounds():
            before, begin = text[begin:at], at + 1
            if self.depth == 0:
                self._refuse_outside(before + text[at:begin])
                self.depth = 1
                continue
            self._end(text[at])
            element = before.strip(_SPACE)
            if element or not (self._empty and self.ended):
                self._empty = False
                yield element
        self._text, self._at = text[begin:], self._at - begin
        if self.depth == 0:
            self._refuse_outside(self._text)

    def _bounds(self) -> Iterator[int]:
        """Yield the positions of the array's opening bracket and of the comma or bracket behind each element.

        Outside the array, every token is yielded. Inside an element, brackets are counted in `depth` and quoted texts
        are skipped. Leaves `_at` where the scan of the next piece begins.
        """
        text, self._at = self._text, self._out_of_quotes()
        for token in _TOKEN.finditer(text, self._at):
            start, self._at = token.span()
            mark = text[start]
            if self.depth == 0:
                yield start
            elif mark == _QUOTE:
                if self._at == start + 1:
                    # The quoted text goes on in the next piece, where it is not scanned again from its beginning.
                    self._quoted, self._at = True, _end_of_text(text, self._at)
                    return
            elif mark in _OPEN:
                self.depth += 1
            elif mark in _CLOSE and self.depth > 1:
                self.depth -= 1
            elif self.depth == 1:
                yield start

    def _end(self, mark: int) -> None:
        if mark != _COMMA:
            self.depth, self.ended = 0, True
        if mark == _CLOSE[1]:
            raise Broken("the array ends in } instead of ]")

    def _out_of_quotes(self) -> int:
        """Return where to scan on: behind the quoted text that the last piece left open; at the end if it still is."""
        if not self._quoted:
            return self._at
        at = _end_of_text(self._text, self._at)
        self._quoted = self._text[at : at + 1] != b'"'
        return at if self._quoted else at + 1

    def _refuse_outside(self, text: bytes) -> None:
        """Raises Broken for text that may not stand before or after the array."""
        if self.ended and text.strip(_SPACE):
            raise Broken("something stands behind the array; send one array of objects and nothing else")
        if not self.ended and text.strip(_SPACE) not in (b"[", b""):
            raise Broken(_NO_ARRAY)


def _end_of_text(text: bytes, at: int) -> int:
    """Return where the quoted text around `at` ends: at its closing quote, or at the end if that has not come yet."""
    return _QUOTED.match(text, at).end()  # type: ignore[union-attr]  # matches nothing, too


def _limited(source: Iterator[bytes], *, most: int) -> Iterator[bytes]:
    left = most
    for chunk in source:
        left -= len(chunk)
        if left < 0:
            raise Broken(f"the body is larger than {most >> 20} MB; send the rest in another request", status=413)
        yield chunk


def _unpacked(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Decompress gzip of one or more members in pieces, which stay small even at a high compression ratio."""
    packed = _Packed()
    for piece in pieces:
        yield from _joined(packed.feed(piece))
    packed.close()


class _Packed:
    """Decompresses the members of a gzip body that comes in pieces."""

    def __init__(self) -> None:
        self._members = 0
        self._member = zlib.decompressobj(wbits=31)

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield what this piece decompresses to."""
        while piece:
            if self._member.eof or not self._members:
                self._begin()
            try:
                chunk = self._member.decompress(piece, CHUNK_BYTES)
            except zlib.error:
                raise Broken("the body is not gzip, as its Content-Encoding says, or is damaged") from None
            piece = self._member.unconsumed_tail or self._member.unused_data
            if chunk:
                yield chunk

    def close(self) -> None:
        """Raises Broken if the last member is not complete."""
        if self._members and not self._member.eof:
            raise Broken("the gzip data end in the middle")

    def _begin(self) -> None:
        self._members += 1
        if self._members > MOST_MEMBERS:
            what = f"the body is put together of more than {MOST_MEMBERS:,} gzip members"
            raise Broken(f"{what}; pack it as one, or send the rest in another request", status=413)
        self._member = zlib.decompressobj(wbits=31)


def _joined(source: Iterator[bytes]) -> Iterator[bytes]:
    """Join neighbouring pieces up to CHUNK_BYTES, because for its reader each piece may cost a copy of a long line."""
    held: list[bytes] = []
    size = 0
    try:
        for chunk in source:
            if held and size + len(chunk) > CHUNK_BYTES:
                yield b"".join(held)
                held, size = [], 0
            held.append(chunk)
            size += len(chunk)
    except Broken:
        # The data before the fault is good.
        if held:
            yield b"".join(held)
        raise
    if held:
        yield b"".join(held)
