"""The statements of process leases: renew, expire, give up."""

from __future__ import annotations

from runs.queries.database import Statement

# An expired lease is not renewed: the statement returns no row, and the process must take a new name.
BEAT = Statement(
    "beat",
    """
    INSERT INTO runs_process AS p (id, host, pid, started_at, expires_at)
    VALUES (%(process)s, %(host)s, %(pid)s, clock_timestamp(), clock_timestamp() + %(lease)s * interval '1 second')
    ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at WHERE p.expires_at > clock_timestamp()
    RETURNING 1
    """,
)

# For a worker child that its parent saw die: its steps are lost now, and not only when its lease would expire.
EXPIRE = Statement(
    "expire",
    """
    UPDATE runs_process SET expires_at = clock_timestamp() - interval '1 millisecond'
    WHERE host = %(host)s AND pid = ANY(%(pids)s::int[]) AND expires_at > clock_timestamp()
    RETURNING 1
    """,
)

# The rows that are running under this name, and whether the work of their run is over. Index step_run_process.
OWN_RUNNING = Statement(
    "own_running",
    """
    SELECT s.run_id, s.item, s.step, s.attempt,
           r.id IS NULL OR r.ending IS NOT NULL OR r.state NOT IN ('running', 'waiting', 'compensating')
    FROM runs_steprun s LEFT JOIN runs_run r ON r.id = s.run_id
    WHERE s.process = %(process)s AND s.state = 'running'
    """,
)

# Running rows of this process that it does not perform: the result of their claim was lost with its connection. No
# process has the nil uuid as its name, so that the next sweep takes these rows for lost.
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

# The name in place of that of a process that its parent ends, because of a step that has no row: see RELEASE.
ENDED = "00000000-0000-0000-0000-000000000001"

# Running rows of a process that its parent is about to end for what is not their fault. No process has this uuid as its
# name, so that the next sweep takes these rows back; it does not count them as lost. Index step_run_process.
RELEASE = Statement(
    "release_running",
    f"""
    UPDATE runs_steprun s SET process = '{ENDED}'
    WHERE s.state = 'running'
      AND s.process = ANY(ARRAY(SELECT id FROM runs_process WHERE host = %(host)s AND pid = %(pid)s))
    """,  # noqa: S608 - constant text only
)

# An expired lease is kept as long as a running row names it: that is how the sweep finds the row.
FORGET_PROCESSES = Statement(
    "forget_processes",
    """
    DELETE FROM runs_process p WHERE p.expires_at < clock_timestamp()
      AND NOT EXISTS (SELECT 1 FROM runs_steprun s WHERE s.process = p.id AND s.state = 'running')
    """,
)
