"""When a failed attempt is followed by another, and how long it waits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actions.base import Permanent, Retry, Retryable
from runs.engine import retry_policy

POLICY = Retry(max_attempts=5, initial_seconds=1, factor=2, max_seconds=60, jitter=0.1)


@pytest.mark.parametrize(("attempt", "seconds"), [(2, 1), (3, 2), (4, 4), (8, 60), (1000, 60)])
def test_the_delay_doubles_up_to_its_bound(attempt: int, seconds: float) -> None:
    assert retry_policy.delay_seconds(POLICY, attempt=attempt, chance=0.5) == seconds


@given(
    attempt=st.integers(2, 10_000),
    policy=st.builds(
        Retry,
        initial_seconds=st.floats(0, 3600),
        factor=st.floats(1, 100),
        max_seconds=st.floats(0, 86_400),
        jitter=st.floats(0, 1),
    ),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_a_delay_is_never_negative_nor_beyond_its_bound_and_jitter(attempt: int, policy: Retry, chance: float) -> None:
    most = policy.max_seconds * (1 + policy.jitter) * (1 + 1e-9)
    assert 0 <= retry_policy.delay_seconds(policy, attempt=attempt, chance=chance) <= most


def test_a_ladder_goes_rung_by_rung_and_stays_on_the_last() -> None:
    ladder = Retry(delays_seconds=(60, 300, 1800))
    assert [retry_policy.delay_seconds(ladder, attempt=n) for n in (2, 3, 4, 5)] == [60, 300, 1800, 1800]


def test_there_is_no_delay_before_the_first_attempt() -> None:
    with pytest.raises(ValueError, match="attempt 1"):
        retry_policy.delay_seconds(POLICY, attempt=1)


def test_what_the_other_side_asked_for_wins_over_the_policy() -> None:
    error = Retryable("busy", kind="http:429", delay_seconds=17)
    assert retry_policy.wait_seconds(POLICY, error=error, attempt=1) == 17


def test_a_permanent_error_and_used_up_attempts_end_it() -> None:
    assert not retry_policy.wanted(POLICY, error=Permanent("no"), attempt=1)
    assert retry_policy.wanted(POLICY, error=Retryable("away"), attempt=4)
    assert not retry_policy.wanted(POLICY, error=Retryable("away"), attempt=5)


@pytest.mark.parametrize(
    ("kind", "again"),
    [
        ("http:503", True),
        ("http:599", True),
        ("timeout", True),
        ("http:429", False),
        ("http:5030", False),
        ("error", False),
    ],
)
def test_on_names_the_errors_that_are_tried_again(kind: str, again: bool) -> None:
    policy = Retry(max_attempts=3, on=("TIMEOUT", "Http:5xx"))
    assert retry_policy.wanted(policy, error=Retryable("x", kind=kind), attempt=1) is again
