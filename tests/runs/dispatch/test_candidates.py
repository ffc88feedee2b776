"""Candidates travel as texts and come back, in few bytes; whatever else arrives is refused."""

from __future__ import annotations

import json
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.dispatch.compiler import decode, encode, fitting
from runs.domain.candidates import Candidate

RUN, OTHER = UUID(int=1), UUID(int=2)
LONGEST = "undo:" + "x" * 64
HEADS = ["a", "b2", "_", "undo:a", LONGEST]
CANDIDATES = st.builds(
    Candidate,
    run_id=st.sampled_from([RUN, OTHER]) | st.uuids(),
    item=st.just(-1) | st.integers(0, 3) | st.integers(0, 10**9 - 1),
    head=st.sampled_from(HEADS),
)


@given(st.lists(CANDIDATES, min_size=1))
def test_candidates_come_back_in_order_and_once_each(candidates: list[Candidate]) -> None:
    texts = json.loads(json.dumps(encode(candidates)))
    assert decode(texts, head=candidates[0].head) == list(dict.fromkeys(candidates))


@given(st.lists(CANDIDATES, min_size=1))
def test_at_a_single_head_the_texts_are_those_of_the_version_before(candidates: list[Candidate]) -> None:
    texts = encode([one._replace(head="a") for one in candidates])
    assert texts == [str(one.run_id) + ("" if one.item < 0 else f"/{one.item}") for one in candidates]


def test_what_is_said_already_is_left_out() -> None:
    candidates = [
        Candidate(RUN, -1, "b1"),
        Candidate(RUN, -1, "b2"),
        Candidate(RUN, 7, "b2"),
        Candidate(RUN, 8, "b1"),
        Candidate(OTHER, -1, "b2"),
    ]
    assert encode(candidates) == [f"{RUN}", "@b2", "/7@b2", f"{RUN}/8", f"{OTHER}@b2"]
    assert encode([]) == []
    assert decode([], head="b1") == []


def test_three_hundred_branches_of_a_run_take_few_bytes() -> None:
    texts = encode([Candidate(RUN, -1, f"b{number}") for number in range(300)])
    assert len(json.dumps(texts)) < 3000


@pytest.mark.parametrize(
    "texts",
    [
        ["@b"],
        ["/3@b"],
        ["/3"],
        [""],
        [str(RUN), ""],
        [str(RUN), "/3"],
        [str(RUN), "@"],
        [str(RUN), "@b@c"],
        [f"{RUN}@"],
        [f"{RUN}/"],
        [f"{RUN}/@b"],
        [f"{RUN}/-1"],
        [f"{RUN}/x"],
        [f"{RUN}/٣"],
        [f"{RUN}/1_0"],
        [f"{RUN}/{10**9}"],
        [f"{RUN} "],
        [f"{RUN}\n"],
        [f"{RUN}@b\x00"],
        [f"{RUN}@\ud800"],
        [f"{RUN}@b c"],
        [f"{RUN}@1b"],
        [f"{RUN}@{'x' * 65}"],
        [f"{RUN}@undo:"],
        [f"{RUN}@undo:undo:b"],
        ["no run"],
        [str(UUID(int=10)).upper()],
        [f"{{{RUN}}}"],
        [RUN.hex],
        [f"urn:uuid:{RUN}"],
        ["-" * 36],
        ["x" * 8 + "-" + "x" * 27],
        ["@" + "b" * 7 + "-" + "b" * 27],
        [None],
        [7],
        [[str(RUN)]],
        [{"run": str(RUN)}],
        [b"x"],
        str(RUN),
        {str(RUN): 1},
        None,
        7,
    ],
)
def test_whatever_names_no_candidate_is_refused(texts: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        decode(texts, head="a")


@pytest.mark.parametrize("head", ["", "a b", "a\x00", "1", "x" * 65, "undo:", "a@b", None, 7])
def test_a_head_that_no_step_can_have_is_refused(head: Any) -> None:
    with pytest.raises(ValueError, match="is no step's id"):
        decode([str(RUN)], head=head)


@given(st.lists(CANDIDATES, min_size=1, max_size=400), st.randoms())
def test_what_fits_into_a_message_fits_also_without_some_of_it(candidates: list[Candidate], chance: Random) -> None:
    count = fitting(candidates)
    assert 1 <= count <= len(candidates)
    some = [one for one in candidates[:count] if chance.random() < 0.9]
    for those in (candidates[:count], some, candidates[1:count]):
        assert len(json.dumps(encode(those))) < 23_040 - 300


def test_of_long_ids_fewer_fit() -> None:
    short = [Candidate(uuid4(), -1, f"b{number}") for number in range(400)]
    long = [Candidate(uuid4(), 10**8 + number, LONGEST[:-3] + f"{number:03}") for number in range(400)]
    assert fitting(short) == 400
    assert 180 < fitting(long) < 200
