"""What a definition must come to, worked out step by step, with nothing running at the same time.

Written from the words of the design, not from the engine's code: the engine must agree with it whatever was lost,
doubled, late or out of order on the way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Expected:
    """The state of every step and of the run, and the run's output."""

    steps: dict[str, str]
    run: str
    output: Any


def expected(document: Mapping[str, Any], *, flag: bool) -> Expected:
    """The end of a run with the input {"flag": flag}. Steps stand in topological order; edges lead to the right."""
    states: dict[str, str] = {}
    blocked: set[str] = set()
    steps: list[dict[str, Any]] = document["steps"]
    for step in steps:
        verdict = _verdict(step, steps=steps, states=states, blocked=blocked)
        if verdict == "run":
            states[step["id"]] = _performed(step, flag=flag)
        else:
            states[step["id"]] = "skipped"
            if verdict == "block":
                blocked.add(step["id"])
    unhandled = any(states[step["id"]] == "failed" and step["on_error"] == "fail" for step in steps)
    return Expected(states, "failed" if unhandled else "succeeded", None if unhandled else _output(steps, states))


def _verdict(step: dict[str, Any], *, steps: list[dict[str, Any]], states: dict[str, str], blocked: set[str]) -> str:
    jumps = [states[one["id"]] for one in steps if one["on_error"] == f"goto:{step['id']}"]
    if jumps:
        return "run" if "failed" in jumps else "skip"
    if not step["needs"]:
        return "run"
    handled = {one["id"] for one in steps if one["on_error"] == "continue"}
    good = [
        need for need in step["needs"] if states[need] == "succeeded" or (need in handled and states[need] == "failed")
    ]
    bad = [need for need in step["needs"] if need not in good and (states[need] == "failed" or need in blocked)]
    everything = len(good) == len(step["needs"])
    holds = {
        "all_succeeded": everything,
        "none_failed": bool(good) and not bad,
        "all_done": True,
        "any_succeeded": bool(good),
        "any_failed": bool(bad),
    }[step["join"]]
    if holds:
        return "run"
    return "block" if bad else "skip"


def _performed(step: dict[str, Any], *, flag: bool) -> str:
    condition = step.get("if")
    if condition == "input.missing":
        return "failed"
    if condition == "false" or (condition == "input.flag" and not flag):
        return "skipped"
    if step["action"] == "wait":
        return "succeeded"
    tries = 1 if step["with"]["permanent"] else step["retry"]["max_attempts"]
    return "failed" if step["with"]["fails"] >= tries else "succeeded"


def _output(steps: list[dict[str, Any]], states: dict[str, str]) -> Any:
    needed = {need for step in steps for need in step["needs"]}
    leaves = [step["id"] for step in steps if step["id"] not in needed]
    done = {leaf: {"step": leaf} for leaf in leaves if states[leaf] == "succeeded"}
    return done.get(leaves[0]) if len(leaves) == 1 else done
