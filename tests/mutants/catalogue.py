"""Mutants: each is one change of the code that breaks one promise, with the tests of which at least one must fail."""

from __future__ import annotations

from dataclasses import dataclass

_FAILURES = "tests/runs/engine/test_engine_failures.py"
_FAULTS = "tests/runs/engine/test_engine_faults.py"
_LOCKS = "tests/runs/engine/test_engine_locks.py"
_PROMISES = "tests/runs/engine/test_promises.py"
_CONTROL = "tests/runs/control/test_control.py"
_LISTS = "tests/runs/engine/test_for_each.py"
_CHILDREN = "tests/runs/engine/test_sub_workflows.py"


@dataclass(frozen=True)
class Mutant:
    """Replacing `old`, which occurs exactly once in `file`, by `new` breaks the `promise`."""

    name: str
    promise: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTANTS = (
    Mutant(
        "no-ticket-fence",
        "a second delivery of a pure link writes nothing",
        "runs/queries/records.py",
        "FROM d WHERE (d.ticket IN (SELECT id FROM gone)) IS TRUE",
        "FROM d WHERE {_ALIVE}",
        (_LOCKS, _CONTROL, "tests/runs/engine/test_engine_graphs.py"),
    ),
    Mutant(
        "paused-told",
        "a run that is paused before its message arrives does not begin",
        "runs/queries/records.py",
        "WHERE {_ALIVE})) AND due_at <= clock_timestamp()",
        "WHERE {_ALIVE}))",
        ("tests/runs/engine/test_preload.py",),
    ),
    Mutant(
        "no-claim-token",
        "a worker whose lease was lost does not overwrite the result of the worker that took over its step",
        "runs/queries/records.py",
        "WHERE {_ROW} 'running' AND s.process = d.process RETURNING",
        "WHERE {_ROW.replace('AND s.attempt = d.attempt', '')} 'running' RETURNING",
        (_FAULTS,),
    ),
    Mutant(
        "no-run-lock",
        "of two branches that end last at the same time, exactly one releases the join",
        "runs/queries/records.py",
        "FROM runs_run WHERE id = d.run_id FOR NO KEY UPDATE",
        "FROM runs_run WHERE id = d.run_id LIMIT 1",
        (_LOCKS,),
    ),
    Mutant(
        "send-before-commit",
        "no message is sent for a run before the run is committed",
        "runs/control/starts.py",
        "transaction.on_commit(partial(dispatcher.after_start, started))",
        "dispatcher.after_start(started)",
        (_PROMISES,),
    ),
    Mutant(
        "no-repeated-knock",
        "a lost message delays a run by seconds only",
        "runs/queries/admission.py",
        "clock_timestamp() + %(repeat)s * interval '1 second', 1, false",
        "'infinity', 1, false",
        (_PROMISES,),
    ),
    Mutant(
        "no-repeated-first-knock",
        "a lost message delays a run by seconds only, also the first message of a run that its start has admitted",
        "runs/queries/starts.py",
        "clock_timestamp() + %(repeat)s * interval '1 second', 1, false",
        "'infinity', 1, false",
        (_PROMISES,),
    ),
    Mutant(
        "lease-never-expires",
        "the step of a process that is gone is performed by another process",
        "runs/queries/sweep.py",
        "SELECT 1 FROM runs_process p WHERE p.id = s.process AND p.expires_at > clock_timestamp()))",
        "SELECT 1 FROM runs_process p WHERE p.id = s.process))",
        (_FAILURES,),
    ),
    Mutant(
        "lease-comes-back",
        "a process whose lease has expired gets a new lease under a new id",
        "runs/queries/leases.py",
        "SET expires_at = excluded.expires_at WHERE p.expires_at > clock_timestamp()",
        "SET expires_at = excluded.expires_at",
        (_PROMISES,),
    ),
    Mutant(
        "claim-without-lease",
        "no process claims a step under an expired lease",
        "runs/queries/claims.py",
        "WHERE id = %(process)s AND expires_at > clock_timestamp())",
        "WHERE id = %(process)s)",
        (_FAILURES,),
    ),
    Mutant(
        "claim-before-due",
        "a retry is not claimed before its time",
        "runs/queries/claims.py",
        "FROM runs_ticket WHERE {_THEIRS} FOR UPDATE) t",
        "FROM runs_ticket WHERE {_THEIRS.split('AND due_at')[0]} FOR UPDATE) t",
        (_PROMISES,),
    ),
    Mutant(
        "double-release",
        "a step that was released is not released again",
        "runs/planning/joins.py",
        "if candidate in known:",
        "if candidate in known and known[candidate].state is not None:",
        ("tests/runs/engine/test_engine_graphs.py", "tests/property"),
    ),
    Mutant(
        "cancel-keeps-tickets",
        "nothing begins in a run once it is cancelled",
        "runs/queries/stops.py",
        "tickets AS (DELETE FROM runs_ticket t USING locked, theirs WHERE locked.n > 0",
        "tickets AS (DELETE FROM runs_ticket t USING locked, theirs WHERE locked.n < 0",
        (_CONTROL,),
    ),
    Mutant(
        "cancelled-run-goes-on",
        "the outcome of a step that was running when its run was cancelled releases no further step",
        "runs/queries/records.py",
        "{_ALIVE} IS TRUE AS alive",
        "true AS alive",
        (_CONTROL,),
    ),
    Mutant(
        "retry-beyond-budget",
        "a step has no more attempts than its retry policy permits",
        "runs/engine/retry_policy.py",
        "if error.permanent or attempt >= policy.max_attempts:",
        "if error.permanent or attempt > policy.max_attempts:",
        ("tests/runs/engine/test_retry.py",),
    ),
    Mutant(
        "poison-for-ever",
        "a step that kills its worker each time becomes a dead letter",
        "runs/maintenance/sweep.py",
        "MAX_LOST = 3",
        "MAX_LOST = 10**9",
        (_FAILURES, _PROMISES),
    ),
    Mutant(
        "record-in-two-transactions",
        "the outcome of a step and the release of what follows are committed together, or not at all",
        "runs/engine/record.py",
        "with transaction.atomic():\n            return _record(outcomes, plan=plan, carried=carried)\n    except",
        "if True:\n            return _record(outcomes, plan=plan, carried=carried)\n    except",
        (_PROMISES, _FAILURES),
    ),
    Mutant(
        "key-of-each-attempt",
        "every attempt of a step has the same idempotency key",
        "runs/engine/context.py",
        "idempotency_key(self._work.run, step=self._step.id,",
        "idempotency_key(self._work.run, step=f'{self._step.id}{self.attempt}',",
        (_PROMISES,),
    ),
    Mutant(
        "two-runs-of-one-key",
        "starts with the same idempotency key make one run",
        "runs/control/inserts.py",
        "keys=[request.idempotency_key for request in requests]",
        "keys=[None for request in requests]",
        ("tests/runs/engine/test_engine_paths.py",),
    ),
    Mutant(
        "no-suspicion",
        "after a child died, each run of its delivery is repeated alone, so that a poison step is blamed and no other",
        "runs/queries/sweep.py",
        "SET suspect = true, knock_at",
        "SET suspect = false, knock_at",
        (_PROMISES,),
    ),
    Mutant(
        "list-begins-anew",
        "a for_each that is retried by hand continues with the items that had not succeeded",
        "runs/queries/for_each.py",
        '\'{"failed": 0, "redo": 0}\'',
        '\'{"failed": 0, "redo": 0, "next": 0}\'',
        (_LISTS,),
    ),
    Mutant(
        "window-ignored",
        "no more items of a for_each are open at once than max_parallel permits",
        "runs/engine/for_each.py",
        "max(0, step.window - open_items)",
        "step.window",
        (_LISTS,),
    ),
    Mutant(
        "parent-woken-twice",
        "the end of a sub-workflow wakes its parent exactly once",
        "runs/queries/records.py",
        "WHERE {_ROW} 'waiting' AND {_ALIVE} AND s.awaits = 0 RETURNING",
        "WHERE {_ROW} s.state AND {_ALIVE} RETURNING",
        (_CHILDREN,),
    ),
    Mutant(
        "parent-woken-by-an-old-child",
        "a parent is woken only by the run that its last attempt started",
        "runs/queries/sub_workflows.py",
        "AND s.state = 'waiting' AND s.awaits > 0 AND s.attempt = c.parent_attempt",
        "AND s.state = 'waiting' AND s.awaits > 0",
        (_CHILDREN,),
    ),
    Mutant(
        "retried-child-forgotten",
        "when a sub-workflow is retried before its parent has continued, the parent waits for it again",
        "runs/control/retries.py",
        "sub_workflows.awaited_again(won)",
        "sub_workflows.awaited_again([])",
        (_CHILDREN,),
    ),
    Mutant(
        "cancel-leaves-children",
        "a cancel also cancels the sub-workflow runs that the cancelled steps wait for",
        "runs/engine/sub_workflows.py",
        "found.setdefault(row_id, []).extend([] if child is None else [child])",
        "found.setdefault(row_id, [])",
        (_CHILDREN,),
    ),
    Mutant(
        "gate-ignores-waiting-runs",
        "no more runs are live than their concurrency limit permits",
        "runs/queries/admission.py",
        "WHERE b.gate_id = g.id AND b.started_at IS NOT NULL AND b.finished_at IS NULL)))",
        "WHERE b.gate_id = g.id AND b.state = 'running')))",
        ("tests/runs/control/test_limits.py",),
    ),
    Mutant(
        "undone-first-things-first",
        "compensations run in the reverse order of the steps that they undo",
        "runs/queries/endings.py",
        "ORDER BY run_id, seq DESC",
        "ORDER BY run_id, seq",
        ("tests/runs/engine/test_engine_endings.py",),
    ),
    Mutant(
        "cancel-skips-finally",
        "the steps of `finally` run after a cancel as well",
        "runs/engine/stopping.py",
        "if plan is not None and endings.follows(plan, outcome):",
        "if plan is not None and outcome is not RunState.CANCELLED and endings.follows(plan, outcome):",
        ("tests/runs/engine/test_engine_stops.py",),
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
