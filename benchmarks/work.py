"""W3, the work that all systems do: select a field, compute one hash, merge both."""

from __future__ import annotations

import hashlib
from typing import Any

# The definition for Stepwise. The baselines do the same by the functions below.
DEFINITION = """
name: w3
steps:
  - {id: pick, action: transform, with: {select: [n]}}
  - {id: work, action: compute, with: {iterations: 1}}
  - id: merge
    action: transform
    with: {set: {n: "{{ steps.pick.output.n }}", digest: "{{ steps.work.output.result }}"}}
"""

# The result of the action `compute` with one iteration.
DIGEST = hashlib.sha256(b"").hexdigest()


def given(number: int) -> dict[str, Any]:
    """Return the input of run `number`."""
    return {"n": number, "customer": f"customer {number % 97}", "note": "x" * 40}


def pick(data: dict[str, Any]) -> dict[str, Any]:
    """Select the field."""
    return {"n": data["n"]}


def work(data: dict[str, Any]) -> dict[str, Any]:
    """Compute one hash."""
    return {**data, "digest": hashlib.sha256(str(data["n"]).encode()).hexdigest()}


def merge(data: dict[str, Any]) -> dict[str, Any]:
    """Merge both."""
    return {"n": data["n"], "digest": data["digest"]}
