"""The workflows of the chaos tests, with effects that the witness counts."""

from __future__ import annotations

from dataclasses import dataclass

from tests.chaos.witness import Witness

_TRY = "retry: {max_attempts: 12, initial: 200ms, max: 1s}"


@dataclass(frozen=True)
class Workload:
    """A definition; `effects` are the steps that must reach the witness, `steps` is the number of all steps."""

    text: str
    effects: tuple[str, ...]
    steps: int


def mixed(witness: Witness) -> Workload:
    """Pure steps, two effects, a fork, a join, a wait and a flaky step."""
    return Workload(
        f"""
name: chaos-mixed
steps:
  - {{id: pick, action: transform, with: {{select: [n]}}}}
  - {{id: charge, needs: [pick], action: http_request, with: {{url: "{witness.url("charge")}", method: POST}}, {_TRY}}}
  - {{id: score, needs: [pick], action: compute, with: {{iterations: 10}}}}
  - id: shaky
    needs: [score]
    action: flaky
    with: {{failure_rate: 0.3}}
    retry: {{max_attempts: 30, initial: 100ms, max: 300ms}}
  - {{id: pause, needs: [pick], action: wait, with: {{for: 500ms}}}}
  - {{id: both, needs: [charge, shaky, pause], action: default}}
  - {{id: tell, needs: [both], action: http_request, with: {{url: "{witness.url("tell")}", method: POST}}, {_TRY}}}
""",
        effects=("charge", "tell"),
        steps=7,
    )


def held(witness: Witness, *, seconds: float) -> Workload:
    """A step that occupies its worker for a while, between two effects."""
    return Workload(
        f"""
name: chaos-held-{int(seconds * 1000)}
steps:
  - {{id: charge, action: http_request, with: {{url: "{witness.url("charge")}", method: POST}}, {_TRY}}}
  - {{id: nap, action: chaos_busy, with: {{seconds: {seconds}}}}}
  - {{id: tell, action: http_request, with: {{url: "{witness.url("tell")}", method: POST}}, {_TRY}}}
""",
        effects=("charge", "tell"),
        steps=3,
    )


def parked(witness: Witness, *, seconds: float) -> Workload:
    """A long wait between two effects."""
    return Workload(
        f"""
name: chaos-parked-{int(seconds)}
steps:
  - {{id: charge, action: http_request, with: {{url: "{witness.url("charge")}", method: POST}}, {_TRY}}}
  - {{id: pause, action: wait, with: {{for: {int(seconds)}s}}}}
  - {{id: tell, action: http_request, with: {{url: "{witness.url("tell")}", method: POST}}, {_TRY}}}
""",
        effects=("charge", "tell"),
        steps=3,
    )


def wide(witness: Witness, *, width: int) -> Workload:
    """A fork into `width` branches and their join; every tenth branch is an effect."""
    branches = []
    for n in range(width):
        work = (
            f'action: http_request, with: {{url: "{witness.url(f"b{n}")}", method: POST}}, {_TRY}'
            if n % 10 == 0
            else "action: default"
        )
        branches.append(f"  - {{id: b{n}, needs: [a], {work}}}")
    needs = ", ".join(f"b{n}" for n in range(width))
    effect = f'action: http_request, with: {{url: "{witness.url("j")}", method: POST}}, {_TRY}'
    lines = "\n".join(branches)
    return Workload(
        f"name: chaos-wide-{width}\nsteps:\n  - {{id: a, action: default}}\n{lines}\n"
        f"  - {{id: j, needs: [{needs}], {effect}}}\n",
        effects=(*(f"b{n}" for n in range(0, width, 10)), "j"),
        steps=width + 2,
    )


def listed(witness: Witness, *, count: int) -> Workload:
    """A for_each of `count` effects, ten at a time, between two pure steps; the run's input is {"n": ...}."""
    return Workload(
        f"""
name: chaos-listed-{count}
steps:
  - {{id: pick, action: transform, with: {{select: [n]}}}}
  - id: each
    for_each: {{items: "{{{{ range({count}) | list }}}}", max_parallel: 10, batch: 50}}
    action: http_request
    with: {{url: "{witness.url("i{{ item }}")}", method: POST}}
    {_TRY}
  - {{id: end, action: default}}
""",
        effects=tuple(f"i{n}" for n in range(count)),
        steps=count + 3,
    )


def late(witness: Witness) -> Workload:
    """A step whose action only some workers have, between two effects."""
    return Workload(
        f"""
name: chaos-late
steps:
  - {{id: charge, action: http_request, with: {{url: "{witness.url("charge")}", method: POST}}, {_TRY}}}
  - {{id: new, action: chaos_late}}
  - {{id: tell, action: http_request, with: {{url: "{witness.url("tell")}", method: POST}}, {_TRY}}}
""",
        effects=("charge", "tell"),
        steps=3,
    )


def hung(witness: Witness, *, seconds: float) -> Workload:
    """A request to a receiver that never answers; the step gives up after `seconds`, and the run fails."""
    return Workload(
        f"name: chaos-hung-{int(seconds)}\n"
        f'steps: [{{id: ask, action: http_request, with: {{url: "{witness.silent_url()}"}}, '
        f"timeout: {int(seconds)}s, retry: {{max_attempts: 1}}}}]",
        effects=(),
        steps=1,
    )


def quick(witness: Witness) -> Workload:
    """Pure steps around an effect: what must not wait for slow neighbours."""
    return Workload(
        f"""
name: chaos-quick
steps:
  - {{id: pick, action: transform, with: {{select: [n]}}}}
  - {{id: charge, action: http_request, with: {{url: "{witness.url("charge")}", method: POST}}, {_TRY}}}
  - {{id: end, action: default}}
""",
        effects=("charge",),
        steps=3,
    )


def deadly(witness: Witness, *, end: str) -> Workload:
    """A step that kills its process each time it is performed."""
    return Workload(
        f"name: chaos-deadly-{end}\n"
        f'steps: [{{id: die, action: chaos_deadly, with: {{url: "{witness.url("die")}", method: POST, end: {end}}}}}]',
        effects=(),
        steps=1,
    )
