"""Retry policies: whether a failed attempt is followed by another one, and after what delay."""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable

from actions.base import ActionError, Json, Retry, Retryable

MAX_MESSAGE = 10_000
Hide = Callable[[str], str]


def delay_seconds(policy: Retry, *, attempt: int, chance: float | None = None) -> float:
    """Return the seconds before attempt n (n >= 2): initial * factor**(n-2), at most max, times 1 +- jitter.

    If the policy has `delays_seconds`, those are used instead, without jitter; the last one is repeated. `chance`, in
    [0, 1), replaces the random number. Raises ValueError for n < 2.
    """
    if attempt < 2:
        raise ValueError(f"attempt {attempt} is no retry; the first retry is attempt 2")
    if policy.delays_seconds:
        return policy.delays_seconds[min(attempt - 2, len(policy.delays_seconds) - 1)]
    # The exponent is bounded so that no policy overflows a float: 100**150 does not.
    base = min(policy.max_seconds, policy.initial_seconds * policy.factor ** min(attempt - 2, 150))
    dice = random.random() if chance is None else chance  # noqa: S311 - spreads load, guards nothing
    return base * (1 + policy.jitter * (2 * dice - 1))


def wanted(policy: Retry, *, error: ActionError, attempt: int) -> bool:
    """Whether attempt number `attempt`, which failed with this error, is followed by another one."""
    if error.permanent or attempt >= policy.max_attempts:
        return False
    return not policy.on or any(_matches(pattern, error.kind) for pattern in policy.on)


def wait_seconds(policy: Retry, *, error: ActionError, attempt: int) -> float:
    """Return the seconds until the next attempt. A delay in the error (from Retry-After) overrides the policy."""
    asked = error.delay_seconds if isinstance(error, Retryable) else None
    return asked if asked is not None else delay_seconds(policy, attempt=attempt + 1)


def described(error: BaseException, *, hide: Hide | None = None) -> dict[str, Json]:
    """Return an error as it is stored: kind, message and details; an unexpected one with its traceback.

    `hide` takes secrets out of a text; it is called before the text is cut, so that it sees all of each secret.
    """
    if isinstance(error, ActionError):
        found: dict[str, Json] = {"kind": error.kind, "message": message(error, hide=hide)}
        if error.details:
            found["details"] = error.details
        return found
    trace = "".join(traceback.format_exception(error))
    return {
        "kind": "error",
        "message": f"{type(error).__name__}: {message(error, hide=hide)}",
        "traceback": (trace if hide is None else hide(trace))[-8000:],
    }


def message(error: BaseException, *, hide: Hide | None = None) -> str:
    """Return the error's text, cut at 10,000 characters; if str() itself fails, a text that says so."""
    try:
        text = str(error)
        return (text if hide is None else hide(text))[:MAX_MESSAGE]
    except Exception as fault:
        return f"an error whose text cannot be made ({type(fault).__name__})"


def _matches(pattern: str, kind: str) -> bool:
    """`http:5xx` matches `http:503`; anything else matches itself. Letter case does not matter."""
    pattern, kind = pattern.lower(), kind.lower()
    if pattern.endswith("xx"):
        return len(pattern) == len(kind) and kind.startswith(pattern[:-2])
    return pattern == kind
