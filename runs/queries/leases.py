"""The statements of process leases: renew, expire, give up."""

from __future__ import annotations

from runs.queries.database import Statement

# A lease that has passed is not taken up again: no row, and the process must take a new name.
BEAT = Statement(
    "beat",
    """
    INSERT INTO runs_process AS p (id, host, pid, started_at, expires_at)
    VALUES (%(process)s, %(host)s, %(pid)s, clock_timestamp(), clock_timestamp() + %(lease)s * interval '1 second')
    ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at WHERE p.expires_at > clock_timestamp()
    RETURNING 1
    """,
)

# A child that its parent saw die: what it ran is lost now, and not only when the lease has passed.
EXPIRE = Statement(
    "expire",
    """
    UPDATE runs_process SET expires_at = clock_timestamp() - interval '1 millisecond'
    WHERE host = %(host)s AND pid = ANY(%(pids)s::int[]) AND expires_at > clock_timestamp()
    RETURNING 1
    """,
)

# What runs under this name, and whether its run's work was stopped or has ended meanwhile. Index step_run_process.
OWN_RUNNING = Statement(
    "own_running",
    """
    SELECT s.run_id, s.item, s.step, s.attempt,
           r.id IS NULL OR r.ending IS NOT NULL OR r.state NOT IN ('running', 'waiting', 'compensating')
    FROM runs_steprun s LEFT JOIN runs_run r ON r.id = s.run_id
    WHERE s.process = %(process)s AND s.state = 'running'
    """,
)

# Running rows of this process that it does not perform: the claim's answer was lost with its connection. No process
# bears the nil name, so that the next sweep finds them lost.
GIVE_UP = Statement(
    "give_up",
    """
    UPDATE runs_steprun s SET process = '00000000-0000-0000-0000-000000000000', deadline = clock_timestamp()
    FROM unnest(%(runs)s::uuid[], %(items)s::int[], %(steps)s::text[], %(attempts)s::int[])
         AS d(run_id, item, step, attempt)
    WHERE s.run_id = d.run_id AND s.item = d.item AND s.step = d.step AND s.attempt = d.attempt
      AND s.process = %(process)s AND s.state = 'running'
    """,
)

# Kept while a running row names it: the sweep must find the row by its process's passed lease.
FORGET_PROCESSES = Statement(
    "forget_processes",
    """
    DELETE FROM runs_process p WHERE p.expires_at < clock_timestamp()
      AND NOT EXISTS (SELECT 1 FROM runs_steprun s WHERE s.process = p.id AND s.state = 'running')
    """,
)
