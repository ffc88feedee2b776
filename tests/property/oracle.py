"""What a run must come to, worked out step by step, with nothing running at the same time.

Written from the words of the design, not from the engine's code: the engine must agree with it whatever was lost,
doubled, late or out of order on the way. Where the outside world decides (a signal or its timeout, a person, the moment
of a cancel), the oracle allows what may come of it, and follows what did.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

Step = Mapping[str, Any]

# Marks: succeeded, failed, skipped, blocked (skipped because of a failure), cancelled, open (not ended, or no row).
OPEN, BLOCKED = "open", "blocked"


@dataclass(frozen=True)
class Facts:
    """What there is to know of a run besides its definition.

    `marks` are its steps' ends, `items` those of the items of each. `kept` were decided before (by a retry's or a
    replay's run), `copied` are those of a replay, `entry` is the step that it began from. `children` are the ends that
    the runs came to which each step started, one set for each attempt. `mended`: nothing fails as its script says any
    more. `stopped` is None, cancelled or failed (by the run's timeout); `unborn`: it was cancelled while it was queued.
    """

    flag: bool
    marks: Mapping[str, str]
    items: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    kept: Mapping[str, str] = field(default_factory=dict)
    copied: frozenset[str] = frozenset()
    entry: str | None = None
    children: Mapping[str, Sequence[Set[str]]] = field(default_factory=dict)
    mended: bool = False
    stopped: str | None = None
    unborn: bool = False


def faults(document: Mapping[str, Any], facts: Facts, *, state: str) -> Iterator[str]:
    """What is wrong with how the run ended, if anything is."""
    main: Sequence[Step] = document["steps"]
    yield from _walk(main, facts)
    yield from _lists(main, facts)
    outcome = _outcome(document, facts)
    undone: dict[str, str] = {}
    for step in main:
        mark = facts.marks.get(f"undo:{step['id']}", OPEN)
        wanted = {OPEN}
        own = "compensate" in step and step["id"] not in facts.copied
        if outcome == "failed" and own and facts.marks.get(step["id"]) in ("succeeded", "compensated"):
            wanted = _performed(step["compensate"], facts)
            undone[step["id"]] = mark
        if mark not in wanted:
            yield f"undo:{step['id']} is {mark}, and may be {sorted(wanted)}"
        if (facts.marks.get(step["id"]) == "compensated") != (mark == "succeeded"):
            yield f"{step['id']} is {facts.marks.get(step['id'])}, and what undoes it {mark}"
    for part, comes in (("on_failure", outcome == "failed"), ("finally", not facts.unborn)):
        steps: Sequence[Step] = document.get(part, [])
        if comes:
            after = Facts(facts.flag, facts.marks, items=facts.items, mended=facts.mended)
            yield from _walk(steps, after)
            yield from _lists(steps, after)
        else:
            yield from (f"{one['id']} was begun" for one in steps if one["id"] in facts.marks)
    wanted_state = _end(document, facts, outcome=outcome, undone=undone)
    if state != wanted_state:
        yield f"the run is {state}, and should be {wanted_state}"


def verdict(step: Step, *, steps: Sequence[Step], marks: Mapping[str, str]) -> str:
    """What is to become of a step: wait, run, skip or block, from the marks of those before it."""
    jumps = [marks.get(one["id"], OPEN) for one in steps if one["on_error"] == f"goto:{step['id']}"]
    if jumps:
        return "run" if "failed" in jumps else "wait" if OPEN in jumps else "skip"
    handled = {one["id"] for one in steps if one["on_error"] == "continue"}
    found = [_standing(marks.get(need, OPEN), handled=need in handled) for need in step["needs"]]
    holds, waits = {
        "all_succeeded": (all(one == "good" for one in found), OPEN in found),
        "none_failed": (not found or ("good" in found and "bad" not in found), OPEN in found),
        "all_done": (True, OPEN in found),
        "any_succeeded": (not found or "good" in found, OPEN in found and "good" not in found),
        "any_failed": (not found or "bad" in found, OPEN in found and "bad" not in found),
    }[step["join"]]
    if waits:
        return "wait"
    return "run" if holds else "block" if "bad" in found else "skip"


def output(document: Mapping[str, Any], marks: Mapping[str, str]) -> Any:
    """The output of a run that succeeded and does not say its own."""
    steps: Sequence[Step] = document["steps"]
    needed = {need for step in steps for need in step["needs"]}
    leaves = [step["id"] for step in steps if step["id"] not in needed]
    done = {leaf: {"step": leaf} for leaf in leaves if marks.get(leaf) == "succeeded"}
    return done.get(leaves[0]) if len(leaves) == 1 else done


def _walk(steps: Sequence[Step], facts: Facts) -> Iterator[str]:
    """Every step of a part in turn, each judged by what those before it came to."""
    marks: dict[str, str] = {}
    for step in steps:
        mark = facts.marks.get(step["id"], OPEN)
        if step["id"] in facts.kept:
            allowed = {facts.kept[step["id"]]}
        else:
            said = "run" if step["id"] == facts.entry else verdict(step, steps=steps, marks=marks)
            allowed = {"wait": {OPEN}, "skip": {"skipped"}, "block": {BLOCKED}}.get(said) or _performed(step, facts)
            if facts.stopped is not None:
                allowed |= {OPEN, "cancelled"} if said == "run" else {OPEN}
        if mark.replace("compensated", "succeeded") not in allowed:
            yield f"{step['id']} is {mark}, and may be {sorted(allowed)}"
        marks[step["id"]] = {"cancelled": OPEN, "compensated": "succeeded"}.get(mark, mark)


def _lists(steps: Sequence[Step], facts: Facts) -> Iterator[str]:
    for step in steps:
        if "for_each" in step and step["id"] not in facts.copied:
            yield from _items(step, facts)


def _items(step: Step, facts: Facts) -> Iterator[str]:
    """Every item of a list that was gone through has ended as it must; of another one, those that were begun."""
    found = facts.items.get(step["id"], {})
    mark = facts.marks.get(step["id"], OPEN)
    each = step["for_each"]
    wanted = range(0 if step.get("if") == "input.missing" else len(each["items"]))
    whole = mark in ("succeeded", "compensated")
    if not set(found) <= set(wanted) or (whole and set(found) != set(wanted)):
        yield f"{step['id']} is {mark}, and has the items {sorted(found)} of {len(wanted)}"
    judged = bool(wanted) and each["on_item_error"] == "fail" and (whole or mark == "failed")
    if judged and whole != (set(found.values()) <= {"succeeded"}):
        yield f"{step['id']} is {mark}, and its items are {found}"
    for item, state in found.items():
        allowed = {"failed"} if each["items"][item] >= step["retry"]["max_attempts"] else {"succeeded"}
        allowed |= {"succeeded"} if facts.mended else set()
        allowed |= {"cancelled"} if facts.stopped else set()
        if state not in allowed:
            yield f"item {item} of {step['id']} is {state}, and may be {sorted(allowed)}"


def _standing(mark: str, *, handled: bool) -> str:
    return {
        "succeeded": "good",
        "failed": "good" if handled else "bad",
        BLOCKED: "bad",
        "skipped": "skipped",
    }.get(mark, OPEN)


def _performed(step: Step, facts: Facts) -> set[str]:
    """The states in which a step may end that does run."""
    condition = step.get("if")
    if condition == "input.missing":
        return {"failed"}
    if condition == "false" or (condition == "input.flag" and not facts.flag):
        return {"skipped"}
    said = step["with"]
    if step["action"] == "wait":
        return {"succeeded"}
    if step["action"] == "wait_for_signal":
        return {"succeeded", "failed"} if "timeout" in said and said["on_timeout"] == "fail" else {"succeeded"}
    if step["action"] == "approval":
        fails = said["on_reject"] == "fail" or ("timeout" in said and said["on_expiry"] == "fail")
        return {"succeeded", "failed"} if fails else {"succeeded"}
    if step["action"] == "sub_workflow":
        return _called(step, facts)
    if "for_each" in step:
        each = step["for_each"]
        fails = each["on_item_error"] == "fail" and max(each["items"], default=0) >= step["retry"]["max_attempts"]
        return {"failed"} if fails and not facts.mended else {"succeeded"}
    tries = 1 if said["permanent"] else step["retry"]["max_attempts"]
    return {"failed"} if said["fails"] >= tries and not facts.mended else {"succeeded"}


def _called(step: Step, facts: Facts) -> set[str]:
    """As the last run that the step started, which is another one for each attempt."""
    started = facts.children.get(step["id"], ())
    if not step["with"]["wait"]:
        return {"succeeded"} if started else set()
    found = {"succeeded" if state == "succeeded" else "failed" for state in started[-1]} if started else set()
    return found if len(started) >= step.get("retry", {}).get("max_attempts", 1) else found - {"failed"}


def _fails(steps: Sequence[Step], facts: Facts) -> bool:
    return any(step["on_error"] == "fail" and facts.marks.get(step["id"]) == "failed" for step in steps)


def _outcome(document: Mapping[str, Any], facts: Facts) -> str:
    """What the work came to, before what follows it."""
    if facts.stopped is not None:
        return facts.stopped
    return "failed" if _fails(document["steps"], facts) or "output" in document else "succeeded"


def _end(document: Mapping[str, Any], facts: Facts, *, outcome: str, undone: Mapping[str, str]) -> str:
    if outcome == "failed":
        return "compensated" if undone and set(undone.values()) == {"succeeded"} else "failed"
    if outcome == "succeeded" and _fails(document.get("finally", []), facts):
        return "failed"
    return outcome
