"""Draw definitions, and what happens to the messages on the way."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.property.actions import ALWAYS

JOINS = ["all_succeeded", "none_failed", "all_done", "any_succeeded", "any_failed"]

# What may happen: the op, and which of the messages on the bus it happens to (modulo their number).
OPS = ["deliver", "deliver", "deliver", "twice", "drop", "sweep", "dispatch", "past", "crash", "zombie", "return"]
happenings = st.lists(st.tuples(st.sampled_from(OPS), st.integers(0, 7)), min_size=8, max_size=40)


@st.composite
def definitions(draw: st.DrawFn) -> dict[str, Any]:
    """A workflow of 1 to 10 steps whose edges and jumps lead to the right."""
    count = draw(st.sampled_from([1, 2, 3, *range(4, 11), *range(6, 11)]))
    targets = {at for at in range(1, count) if draw(st.integers(0, 7)) == 7}
    steps = [_step(draw, at, targets=targets) for at in range(count)]
    return {"name": f"model-{draw(st.uuids())}", "steps": steps}


def _step(draw: st.DrawFn, at: int, *, targets: set[int]) -> dict[str, Any]:
    needs = [] if at in targets or at == 0 else draw(_needs(at))
    later = sorted(target for target in targets if target > at)
    step: dict[str, Any] = {
        "id": f"s{at}",
        "needs": [f"s{need}" for need in needs],
        "on_error": draw(st.sampled_from(["fail", "fail", "continue", *(f"goto:s{target}" for target in later)])),
        **_action(draw),
    }
    # The oracle reads what the definition leaves out where it is the default.
    step["join"] = draw(st.sampled_from(JOINS)) if needs else "all_succeeded"
    condition = draw(st.sampled_from([None] * 8 + ["true", "false", "input.flag", "input.missing"]))
    return step if condition is None else {**step, "if": condition}


def _needs(at: int) -> st.SearchStrategy[list[int]]:
    """Often the step before, which makes chains; else up to three of those before, which makes forks and joins."""
    some = st.lists(st.integers(0, at - 1), min_size=min(at, 2), max_size=3, unique=True)
    return st.one_of(st.just([at - 1]), some, st.lists(st.integers(0, at - 1), max_size=1))


def _action(draw: st.DrawFn) -> dict[str, Any]:
    action = draw(st.sampled_from(["scripted"] * 4 + ["scripted_pure"] * 4 + ["wait"]))
    if action == "wait":
        return {"action": "wait", "with": {"for": "30m"}}
    attempts = draw(st.integers(1, 3))
    # Fewer failures than attempts, or always: an attempt that is lost then changes no step's end.
    fails = draw(st.sampled_from([0, 0, 0, *range(attempts), ALWAYS]))
    return {
        "action": action,
        "with": {"fails": fails, "permanent": fails == ALWAYS and draw(st.booleans())},
        "retry": {"max_attempts": attempts, "initial": "1s"},
    }
