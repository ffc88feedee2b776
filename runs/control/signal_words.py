"""What to say where a signal is not taken."""

from __future__ import annotations

from uuid import UUID

from runs.control.signals import SIGNALLABLE
from runs.models import Run, Signal
from runs.planning import plan
from runs.planning.steps import ANY_SIGNAL
from workflows.definitions.errors import nearest


def cannot_signal(run_id: UUID, state: str, *, name: str) -> str:
    """Why the run did not take a signal of this name."""
    if state not in SIGNALLABLE:
        return f"the run is {state}; only a run that has not ended takes signals"
    version_id, ending = Run.objects.values_list("version_id", "ending").get(pk=run_id)
    awaited = {step.awaits for step in plan.load(version_id).steps.values() if step.awaits is not None}
    if not awaited:
        return f"the run is {state}, and no step of it waits for a signal"
    if name not in awaited and ANY_SIGNAL not in awaited:
        return f"the run is {state}, and no step of it waits for signal {name!r}{nearest(name, sorted(awaited))}"
    if ending is not None:
        return (
            f"the run is {state}, and on its way to its end ({ending}): no step that may still come waits for "
            f"signal {name!r}"
        )
    if Signal.objects.filter(run_id=run_id, name=name, used_at__isnull=True).exists():
        return f"the run is {state}; a signal {name!r} is kept for every step that is still to wait for it"
    return f"the run is {state}; every step of it that waits for signal {name!r} is over"
