"""Bodies that are read piece by piece: what is a line, what is an element, and where it ends."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runs.api.http import streams
from runs.api.http.streams import Broken, Entry

LONGEST = 1024


def _pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def _elements(data: bytes, size: int = 7) -> list[Entry]:
    return list(streams.elements(_pieces(data, size), longest=LONGEST))


def _lines(data: bytes, size: int = 7) -> list[Entry]:
    return list(streams.lines(_pieces(data, size), longest=LONGEST))


def _unpacked(data: bytes, *, most: int = 1 << 20) -> bytes:
    return b"".join(streams.chunks(io.BytesIO(data).read, most=most, gzipped=True))


JSON = st.recursive(
    st.none() | st.integers() | st.text('ab"\\,[]{}: é', max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('a"\\[{', max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    wanted=st.lists(JSON, max_size=5), size=st.integers(1, 20), indent=st.sampled_from([None, 1]), plain=st.booleans()
)
def test_an_array_is_parted_into_its_elements_however_it_comes(
    wanted: list[object], size: int, indent: int | None, plain: bool
) -> None:
    data = json.dumps(wanted, indent=indent, ensure_ascii=plain).encode()
    found = _elements(data, size)
    assert [json.loads(raw or b"") for _, raw in found] == wanted
    assert [number for number, _ in found] == list(range(1, len(wanted) + 1))


@pytest.mark.parametrize("size", [1, 2, 100])
@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "must be a JSON array"),
        (b'{"a": [1]}', "must be a JSON array"),
        (b'"a", [1]', "must be a JSON array"),
        (b"x[1]", "must be a JSON array"),
        (b"[1, 2", "does not end; its last whole element is number 1"),
        (b'[1, "a]', "does not end"),
        (b"[1] 2", "behind the array"),
        (b"[1][2]", "behind the array"),
        (b'[1] "', "behind the array"),
        (b"[1}", "ends in }"),
    ],
)
def test_what_is_no_array_is_broken_and_says_how(data: bytes, said: str, size: int) -> None:
    with pytest.raises(Broken, match=said):
        _elements(data, size)


def test_what_is_wrong_inside_an_array_is_left_to_its_element() -> None:
    assert _elements(b"[1,,x y,]") == [(1, b"1"), (2, b""), (3, b"x y"), (4, b"")]
    assert _elements(b" [ ] \n") == []


def test_lines_are_counted_with_the_blank_ones_and_a_long_one_is_passed_over() -> None:
    data = b'{"a": 1}\r\n\n  \n' + b"x" * 5000 + b'\n{"b": 2}\nhalf'
    for size in (1, 300, 100_000):
        assert _lines(data, size) == [(1, b'{"a": 1}\r'), (4, None), (5, b'{"b": 2}'), (6, b"half")]
    assert _lines(b"x" * 5000) == [(1, None)]


def test_a_long_element_ends_the_reading_before_it_is_in_memory() -> None:
    read = 0

    def endless() -> Iterator[bytes]:
        nonlocal read
        yield b'[{}, "'
        while True:
            read += 1
            yield b'\\"' * 100

    found = streams.elements(endless(), longest=LONGEST)
    assert next(found) == (1, b"{}")
    with pytest.raises(Broken, match="element 2 is longer") as failure:
        next(found)
    assert (failure.value.status, read) == (413, 6)


def test_gzip_is_unpacked_piece_by_piece_and_never_beyond_the_limit() -> None:
    assert _unpacked(gzip.compress(b"one ", mtime=0) + gzip.compress(b"two")) == b"one two"
    bomb = io.BytesIO(gzip.compress(b"0" * (64 << 20)))
    pieces = streams.chunks(bomb.read, most=1 << 20, gzipped=True)
    with pytest.raises(Broken, match="larger than 1 MB") as failure:
        assert max(len(piece) for piece in pieces) <= streams.CHUNK_BYTES
    assert failure.value.status == 413


def _endless(again: bytes, *, first: bytes = b"") -> tuple[streams.Read, list[int]]:
    """A body that goes on for ever, and how much was read of it, piece by piece."""
    seen: list[int] = []

    def read(size: int) -> bytes:
        data = b"" if seen else first
        data += again * ((size - len(data)) // len(again))
        seen.append(len(data))
        return data

    return read, seen


NOTHING = gzip.compress(b"", mtime=0)


def test_members_without_end_that_hold_nothing_are_refused_soon() -> None:
    read, seen = _endless(NOTHING)
    with pytest.raises(Broken, match="more than 10,000 gzip members; pack it as one") as failure:
        list(streams.chunks(read, most=64 << 20, gzipped=True))
    assert failure.value.status == 413
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (NOTHING[:3] + b"\x08" + NOTHING[4:10], b"a"),  # a file's name that does not end
        (NOTHING[:10], b"\x00\x00\x00\xff\xff"),  # blocks that hold nothing
    ],
)
def test_what_unpacks_to_nothing_is_limited_as_it_comes(first: bytes, again: bytes) -> None:
    read, seen = _endless(again, first=first)
    with pytest.raises(Broken, match="larger than 1 MB") as failure:
        list(streams.chunks(read, most=1 << 20, gzipped=True))
    assert failure.value.status == 413
    assert sum(seen) <= (1 << 20) + streams.CHUNK_BYTES


def test_a_body_may_be_put_together_of_many_members_that_come_in_any_pieces() -> None:
    wanted = [b"%d\n" % number for number in range(5000)]
    data = b"".join(gzip.compress(line, compresslevel=1, mtime=0) for line in wanted)
    assert _unpacked(data) == b"".join(wanted)
    pieces = list(streams.chunks(io.BytesIO(data).read, most=1 << 20, gzipped=True))
    assert len(pieces) == 1, "neighbours are put together: a long line is not copied for each of them"
    narrow = io.BytesIO(data)
    found = streams.chunks(lambda size: narrow.read(min(size, 7)), most=1 << 20, gzipped=True)
    assert b"".join(found) == b"".join(wanted)


def test_what_was_unpacked_before_the_damage_counts() -> None:
    found = streams.chunks(io.BytesIO(gzip.compress(b"whole", mtime=0) + b"damage").read, most=1 << 20, gzipped=True)
    assert next(found) == b"whole"
    with pytest.raises(Broken, match="not gzip"):
        next(found)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"plain text", "not gzip"),
        (zlib.compress(b"a"), "not gzip"),
        (gzip.compress(b"a" * 100, mtime=0)[:-4], "end in the middle"),
        (gzip.compress(b"a", mtime=0) + b"behind", "not gzip"),
    ],
)
def test_what_is_no_gzip_is_broken_and_says_so(data: bytes, said: str) -> None:
    with pytest.raises(Broken, match=said):
        _unpacked(data)
