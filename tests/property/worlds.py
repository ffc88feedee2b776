"""Draw stories: a workflow, and what happens to its runs and to the messages about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from hypothesis import strategies as st

from tests.property.actions import ALWAYS

JOINS = ["all_succeeded", "none_failed", "all_done", "any_succeeded", "any_failed"]
# Statements of one delivery, sweep or verb before which the process may die.
STATEMENTS = 12
# The workflow that sub-workflows are runs of.
CHILD = "model-child"

_PLAIN = ["scripted"] * 5 + ["scripted_pure"] * 5 + ["wait"]
_KINDS = [*_PLAIN, "booking", "signal", "signal", "approval"]


@dataclass(frozen=True)
class Op:
    """One thing that happens, to which message, run or step (modulo their number).

    `dies`: before the how-manieth statement of it the process dies, if it comes that far; None: it does not.
    """

    what: str
    at: int
    dies: int | None = None

    def __str__(self) -> str:
        return f"{self.what} {self.at}" + ("" if self.dies is None else f", dies before statement {self.dies}")


@dataclass(frozen=True)
class Story:
    """A definition, that of its sub-workflows if it has any, and what happens until the faults stop."""

    document: dict[str, Any]
    child: dict[str, Any] | None
    ops: list[Op]

    def _repr_pretty_(self, printer: Any, _: bool) -> None:
        """How Hypothesis prints it: lines to read, and not nested calls."""
        printer.text("\n" + str(self))

    def __str__(self) -> str:
        documents = [self.document] if self.child is None else [self.document, self.child]
        lines = [yaml.safe_dump(one, sort_keys=False, default_flow_style=None, width=150) for one in documents]
        return "\n".join([*lines, *(f"{number}. {op}" for number, op in enumerate(self.ops))])


def plain(document: Mapping[str, Any]) -> bool:
    """Whether the output of every step is known beforehand."""
    return all(step["action"].startswith("scripted") and "for_each" not in step for step in document["steps"])


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """A workflow of 1 to 8 steps, with whatever may follow them, and 8 to 40 ops."""
    calls = draw(st.integers(0, 2)) == 2
    document = draw(_documents(most=8, kinds=[*_KINDS, *["sub_workflow"] * 6] if calls else _KINDS))
    document |= draw(_limits())
    asked = {step["action"] for step in document["steps"]}
    child = None
    if "sub_workflow" in asked:
        child = {**draw(_documents(most=3, kinds=_KINDS)), "name": CHILD}
        asked |= {step["action"] for step in child["steps"]}
    rare = [
        "retry",
        "mend",
        "replay",
        "pause",
        "cancel",
        "freeze",
        "stall",
        "leave",
        "desert",
        "alone",
        "twice",
        "drop",
        "mute",
    ]
    rare += ["expire"] if "timeout" in document else []
    rare += ["start"] if "concurrency" in document else []
    rare += ["signal", "signal_key"] if "wait_for_signal" in asked else []
    rare += ["approve", "reject"] if "approval" in asked else []
    # A few kinds of trouble, often: all of them at once would leave each too rare to meet another.
    kinds = draw(st.lists(st.sampled_from(rare), min_size=2, max_size=5, unique=True))
    pool = ["deliver"] * 6 + ["sweep", "past"] * 2 + ["settle"] * 4 + ["dispatch"] + kinds * 2
    pool += ["return"] * 3 if {"freeze", "stall", "leave", "desert"} & set(kinds) else []
    pool += ["resume"] if "pause" in kinds else []
    lives = st.sampled_from([None] * 9 + [*range(STATEMENTS)])
    ops = st.lists(st.builds(Op, st.sampled_from(pool), st.integers(0, 7), lives), min_size=8, max_size=40)
    return Story(document, child, draw(ops))


@st.composite
def _documents(draw: st.DrawFn, *, most: int, kinds: Sequence[str]) -> dict[str, Any]:
    count = min(most, draw(st.sampled_from([1, 2, 3, *range(3, 9), *range(4, 9)])))
    # A path without anything else is recorded by statements of its own.
    if draw(st.integers(0, 4)) == 4:
        steps = [_step(draw, f"s{at}", needs=[f"s{at - 1}"] if at else [], kinds=kinds) for at in range(count)]
        return {"name": "model", "steps": steps}
    targets = {at for at in range(1, count) if draw(st.integers(0, 7)) == 7}
    undoing = draw(st.booleans())
    steps = []
    for at in range(count):
        needs = [] if at in targets or at == 0 else draw(_needs(at))
        step = _step(draw, f"s{at}", needs=[f"s{need}" for need in needs], kinds=kinds)
        later = sorted(target for target in targets if target > at)
        step["on_error"] = draw(st.sampled_from(["fail", "fail", "continue", *(f"goto:s{to}" for to in later)]))
        if step["needs"]:
            step["join"] = draw(st.sampled_from(JOINS))
        if undoing and draw(st.booleans()):
            step["compensate"] = draw(_scripts(pure=draw(st.booleans())))
        steps.append(step)
    return {"name": "model", "steps": steps, **draw(_endings())}


@st.composite
def _endings(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part, dead_letter in (("on_failure", "f"), ("finally", "z")):
        count = draw(st.sampled_from([0, 0, 1, 2]))
        if count:
            found[part] = []
            for at in range(count):
                needs = [f"{dead_letter}0"] if at and draw(st.booleans()) else []
                step = _step(draw, f"{dead_letter}{at}", needs=needs, kinds=_PLAIN)
                found[part].append({**step, "on_error": draw(st.sampled_from(["fail", "continue"]))})
    if draw(st.integers(0, 2)) == 2:
        found["timeout"] = "300d"
    if draw(st.integers(0, 9)) == 9:
        found["output"] = "{{ input.missing.too }}"
    return found


@st.composite
def _limits(draw: st.DrawFn) -> dict[str, Any]:
    """How many runs may be live at once, if that is limited: all of them together, or those of each key."""
    if draw(st.integers(0, 2)) < 2:
        return {}
    said: dict[str, Any] = {
        "limit": draw(st.sampled_from([1, 1, 2])),
        "policy": draw(st.sampled_from(["queue", "queue", "skip", "cancel_running"])),
    }
    return {"concurrency": {**said, "key": "{{ input.key }}"} if draw(st.booleans()) else said}


def _needs(at: int) -> st.SearchStrategy[list[int]]:
    """Often the step before, which makes chains; else up to three of those before, which makes forks and joins."""
    some = st.lists(st.integers(0, at - 1), min_size=min(at, 2), max_size=3, unique=True)
    return st.one_of(st.just([at - 1]), some, st.lists(st.integers(0, at - 1), max_size=1))


def _step(draw: st.DrawFn, name: str, *, needs: Sequence[str], kinds: Sequence[str]) -> dict[str, Any]:
    """What the definition could leave out is written all the same: the oracle reads it."""
    step = {
        "id": name,
        "needs": list(needs),
        "join": "all_succeeded",
        "on_error": "fail",
        **_action(draw, draw(st.sampled_from(kinds))),
    }
    condition = draw(st.sampled_from([None] * 8 + ["true", "false", "input.flag", "input.missing"]))
    return step if condition is None else {**step, "if": condition}


def _action(draw: st.DrawFn, kind: str) -> dict[str, Any]:
    if kind == "wait":
        return {"action": "wait", "with": {"for": "30m"}}
    if kind == "signal":
        return _signal(draw)
    if kind == "approval":
        said = {
            "message": "Go on?",
            "on_expiry": draw(st.sampled_from(["fail", "approve", "reject"])),
            "on_reject": draw(st.sampled_from(["fail", "continue"])),
        }
        return {"action": "approval", "with": {**said, **_limit(draw)}}
    if kind == "sub_workflow":
        waits = draw(st.sampled_from([True, True, True, False]))
        retry = {"retry": {"max_attempts": 2, "initial": "1s"}} if draw(st.booleans()) else {}
        return {"action": kind, "with": {"workflow": CHILD, "wait": waits, "input": "{{ input }}"}, **retry}
    if kind == "booking":
        return {**draw(_scripts(pure=False)), "action": "scripted_booking"}
    found = draw(_scripts(pure=kind == "scripted_pure"))
    return _over_a_list(draw, found) if draw(st.integers(0, 4)) == 4 else found


def _over_a_list(draw: st.DrawFn, found: dict[str, Any]) -> dict[str, Any]:
    """The items say how often each of them fails."""
    fails = st.sampled_from([0, 0, 0, *range(found["retry"]["max_attempts"]), ALWAYS])
    each = {
        "items": draw(st.lists(fails, max_size=5)),
        "max_parallel": draw(st.integers(1, 3)),
        "batch": draw(st.integers(1, 3)),
        "on_item_error": draw(st.sampled_from(["fail", "continue"])),
    }
    return {**found, "for_each": each, "with": {"fails": "{{ item }}", "permanent": False}}


def _signal(draw: st.DrawFn) -> dict[str, Any]:
    said = {"name": draw(st.sampled_from(["a", "b"])), "on_timeout": draw(st.sampled_from(["fail", "continue"]))}
    if draw(st.booleans()):
        said["key"] = "{{ input.key }}"
    retry = {"retry": {"max_attempts": 2, "initial": "1s"}} if draw(st.booleans()) else {}
    return {"action": "wait_for_signal", "with": {**said, **_limit(draw)}, **retry}


def _limit(draw: st.DrawFn) -> dict[str, str]:
    return {"timeout": "30m"} if draw(st.booleans()) else {}


@st.composite
def _scripts(draw: st.DrawFn, *, pure: bool) -> dict[str, Any]:
    attempts = draw(st.integers(1, 3))
    # Fewer failures than attempts, or always: an attempt that is lost then changes no step's end.
    fails = draw(st.sampled_from([0, 0, 0, 0, *range(attempts), ALWAYS]))
    return {
        "action": "scripted_pure" if pure else "scripted",
        "with": {"fails": fails, "permanent": fails == ALWAYS and draw(st.booleans())},
        "retry": {"max_attempts": attempts, "initial": "1s"},
    }
