"""Read a body piece by piece: the lines of NDJSON or the elements of one JSON array, never the whole of it."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator

CHUNK_BYTES = 256 * 1024
# Of one gzip body. Tools that pack block by block make one for every 64 KB; each costs a copy of the piece it is in.
MOST_MEMBERS = 10_000
_SPACE = b" \t\r\n"
# Possessive: a text of many escapes that does not end would otherwise cost memory for each of them.
_QUOTED = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["\[\]{},]', re.DOTALL)
_QUOTE, _COMMA = b'",'
_OPEN, _CLOSE = b"[{", b"]}"

_NO_ARRAY = "must be a JSON array of objects; send one object per line as application/x-ndjson"

# A line or element by its number, from 1; None stands for one that is too long.
Entry = tuple[int, bytes | None]
# Bytes that the client sent, up to so many; none means the end.
Read = Callable[[int], bytes]


class Broken(Exception):
    """The body cannot be read any further; `status` is what HTTP calls it."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def chunks(read: Read, *, most: int, gzipped: bool = False) -> Iterator[bytes]:
    """The body in pieces of at most CHUNK_BYTES, unpacked. Raises Broken (413) beyond `most` bytes.

    The same holds for a packed body as it comes, which need not unpack to anything, and beyond MOST_MEMBERS members.
    """
    pieces = _limited(iter(lambda: read(CHUNK_BYTES), b""), most=most)
    return _limited(_unpacked(pieces), most=most) if gzipped else pieces


def lines(source: Iterator[bytes], *, longest: int) -> Iterator[Entry]:
    """The lines that are not blank, with their numbers from 1; None stands for one of more than `longest` bytes."""
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
    """The elements of one array, with their numbers from 1, each as it stands there: it may be no JSON at all.

    Raises Broken where there is no array, where it does not end, and at an element of more than `longest` bytes.
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
    """Finds the commas and brackets that part the elements of an array which comes in pieces."""

    def __init__(self) -> None:
        self.depth = 0
        self.ended = False
        # The text in hand: it begins with the element that is not over, and is looked at up to `at`.
        self._text, self._at = b"", 0
        self._quoted = False
        self._empty = True

    @property
    def in_hand(self) -> int:
        """Bytes that are kept because their element is not over."""
        return len(self._text)

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The elements that end in this piece."""
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
        """Where an array may begin, and where its elements end; leaves `_at` where the next piece is to go on.

        Brackets inside an element are counted in `depth`, and texts in quotes are skipped.
        """
        text, self._at = self._text, self._out_of_quotes()
        for token in _TOKEN.finditer(text, self._at):
            start, self._at = token.span()
            mark = text[start]
            if self.depth == 0:
                yield start
            elif mark == _QUOTE:
                if self._at == start + 1:
                    # The text goes on in the next piece, and is read on from there, not from its beginning.
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
        """Where to look on: behind the text that the last piece left open, or at the end if it is still open."""
        if not self._quoted:
            return self._at
        at = _end_of_text(self._text, self._at)
        self._quoted = self._text[at : at + 1] != b'"'
        return at if self._quoted else at + 1

    def _refuse_outside(self, text: bytes) -> None:
        """Raises Broken for what may not stand before or behind an array."""
        if self.ended and text.strip(_SPACE):
            raise Broken("something stands behind the array; send one array of objects and nothing else")
        if not self.ended and text.strip(_SPACE) not in (b"[", b""):
            raise Broken(_NO_ARRAY)


def _end_of_text(text: bytes, at: int) -> int:
    """Where the JSON text that is open at `at` ends: at its closing quote, or at the end if it has none yet."""
    return _QUOTED.match(text, at).end()  # type: ignore[union-attr]  # matches nothing, too


def _limited(source: Iterator[bytes], *, most: int) -> Iterator[bytes]:
    left = most
    for chunk in source:
        left -= len(chunk)
        if left < 0:
            raise Broken(f"the body is larger than {most >> 20} MB; send the rest in another request", status=413)
        yield chunk


def _unpacked(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Gzip, of one member or several, unpacked in pieces however well it is packed."""
    packed = _Packed()
    for piece in pieces:
        yield from _joined(packed.feed(piece))
    packed.close()


class _Packed:
    """Unpacks the members of a gzip body that comes in pieces."""

    def __init__(self) -> None:
        self._members = 0
        self._member = zlib.decompressobj(wbits=31)

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """What this piece unpacks to."""
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
        """Raises Broken where the last member is not over."""
        if self._members and not self._member.eof:
            raise Broken("the gzip data end in the middle")

    def _begin(self) -> None:
        self._members += 1
        if self._members > MOST_MEMBERS:
            what = f"the body is put together of more than {MOST_MEMBERS:,} gzip members"
            raise Broken(f"{what}; pack it as one, or send the rest in another request", status=413)
        self._member = zlib.decompressobj(wbits=31)


def _joined(source: Iterator[bytes]) -> Iterator[bytes]:
    """Neighbours put together up to CHUNK_BYTES: each piece may cost whoever reads it a copy of a long line."""
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
        # What came before the fault counts.
        if held:
            yield b"".join(held)
        raise
    if held:
        yield b"".join(held)
