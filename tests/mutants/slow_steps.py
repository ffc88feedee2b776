"""Mutants of the promises about effectful steps: walks, slow steps, drains, suspects; and of the HTTP client."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_FAULTS = "tests/runs/engine/test_engine_faults.py"
_BOTH_FORMS = "tests/runs/engine/test_alone_and_in_sets.py"
_SLOW = "tests/runs/engine/test_slow_steps.py"
_WALKS = "tests/runs/engine/test_walks.py"

SLOW_STEPS = (
    Mutant(
        "walk-ignores-pause",
        "a run that is paused while a step of it is under way is not walked on",
        "runs/queries/records.py",
        "next_timeout IS NOT NULL AND paused_at IS NULL AND EXISTS",
        "next_timeout IS NOT NULL AND EXISTS",
        (_WALKS,),
    ),
    Mutant(
        "walk-without-lease",
        "a record claims the step behind it only under a live lease",
        "runs/queries/records.py",
        "AND EXISTS (SELECT 1 FROM lease) AS claims",
        "AS claims",
        (_WALKS,),
    ),
    Mutant(
        "walk-keeps-place",
        "a place that a walk reserved and did not need is free again",
        "runs/engine/walker.py",
        "self._threads.give_back(onward.places - len(work), workspace=onward.workspace)",
        "self._threads.give_back(0, workspace=onward.workspace)",
        (_SLOW,),
    ),
    Mutant(
        "aside-for-ever",
        "a slow step that has ended leaves its place beside the quick ones",
        "runs/engine/thread_pool.py",
        "        places.give_back(1, workspace=job.workspace)\n\n\nclass",
        "        places.give_back(0 if job.aside else 1, workspace=job.workspace)\n\n\nclass",
        (_SLOW,),
    ),
    Mutant(
        "slow-step-waited-for",
        "a delivery returns while a slow step is under way",
        "runs/engine/executor.py",
        "slow = walker.slower_than(quick)",
        "slow = walker.slower_than(quick + 3600)",
        (_SLOW,),
    ),
    Mutant(
        "left-behind-and-forgotten",
        "a step that was left behind is recorded when it ends",
        "runs/engine/under_way.py",
        "one.inbox = self.inbox",
        "pass",
        (_SLOW,),
    ),
    Mutant(
        "late-look-loses-success",
        "a step that has ended keeps its result, however late its owner looks",
        "runs/engine/under_way.py",
        "            if one.result is None:\n                self._threads.abandon(one.job)",
        "            if True:\n                self._threads.abandon(one.job)",
        (_SLOW,),
    ),
    Mutant(
        "walked-to-and-slow",
        "a slow step takes no place from quick ones, whoever has begun it",
        "runs/engine/recorder.py",
        "walker.let_slow_step_aside()",
        "pass",
        (_SLOW,),
    ),
    Mutant(
        "broken-delivery-forgets",
        "what is under way is recorded, whatever its delivery raises",
        "runs/engine/executor.py",
        "recorder.current().take(left, after=self._callbacks.behind) if left else None",
        "pass",
        (_SLOW,),
    ),
    Mutant(
        "recorded-twice",
        "an outcome is recorded once, however often it is told",
        "runs/queries/records.py",
        "WHERE {first} {_ROW} 'running' AND s.process = d.process RETURNING",
        "WHERE {first} {_ROW} s.state AND (s.process = d.process OR s.process IS NULL) RETURNING",
        (_WALKS, _FAULTS),
    ),
    Mutant(
        "drain-claims",
        "a process that is to end claims nothing any more",
        "runs/engine/recorder.py",
        "walker.record(ended, walks=not self._draining, tell=self._after)",
        "walker.record(ended, walks=True, tell=self._after)",
        (_SLOW,),
    ),
    Mutant(
        "drain-forgets",
        "a process that is to end records first what it has under way",
        "runs/engine/recorder.py",
        "self._idle.wait(max(0.0, until - time.monotonic()))",
        "self._idle.wait(0.0)",
        (_SLOW,),
    ),
    Mutant(
        "suspect-among-others",
        "a suspect is performed with nothing beside it",
        "runs/queries/claims.py",
        "AND suspect = %(suspect)s FOR UPDATE",
        "AND (suspect = %(suspect)s OR true) FOR UPDATE",
        (_BOTH_FORMS,),
    ),
    Mutant(
        "branches-decided-apart",
        "of branches of one run that end in one set, exactly one releases their join",
        "runs/engine/record.py",
        "live = _one_for_each_run(live)",
        "live = list(live)",
        (_WALKS,),
    ),
    Mutant(
        "hanging-child-lives",
        "a child whose interpreter hangs is ended by its parent",
        "runs/worker/pulse.py",
        "os.kill(pid, signal.SIGKILL)",
        "os.kill(pid, 0)",
        ("tests/runs/worker/test_pulse.py",),
    ),
    Mutant(
        "request-sent-twice",
        "a request is not sent again when the kept connection breaks that it was sent over",
        "actions/network/connection.py",
        "if self._kept:",
        "if self._kept and self._error is not None:",
        ("tests/actions/test_client.py",),
    ),
    Mutant(
        "unchecked-address",
        "no address is connected to that actions may not reach",
        "actions/network/connection.py",
        "addresses.check(self._host, ip_address(address.addr[0]), self._port, allowed=self._allowed)",
        "ip_address(address.addr[0])",
        ("tests/actions/test_network.py",),
    ),
)
