"""The work that all systems do, W3: select a field, compute something tiny, merge."""

from __future__ import annotations

import hashlib
from typing import Any

# What Stepwise runs. The baselines do the same in plain functions, below.
DEFINITION = """
name: w3
steps:
  - {id: pick, action: transform, with: {select: [n]}}
  - {id: work, action: compute, with: {iterations: 1}}
  - id: merge
    action: transform
    with: {set: {n: "{{ steps.pick.output.n }}", digest: "{{ steps.work.output.result }}"}}
"""

# What `compute` with one iteration answers.
DIGEST = hashlib.sha256(b"").hexdigest()


def given(number: int) -> dict[str, Any]:
    """The input of one run."""
    return {"n": number, "customer": f"customer {number % 97}", "note": "x" * 40}


def pick(data: dict[str, Any]) -> dict[str, Any]:
    """The field."""
    return {"n": data["n"]}


def work(data: dict[str, Any]) -> dict[str, Any]:
    """One round of a hash."""
    return {**data, "digest": hashlib.sha256(str(data["n"]).encode()).hexdigest()}


def merge(data: dict[str, Any]) -> dict[str, Any]:
    """Both."""
    return {"n": data["n"], "digest": data["digest"]}
