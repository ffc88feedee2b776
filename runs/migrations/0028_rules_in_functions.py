"""The rules that each row of runs and step runs keeps move from nine CHECK constraints into two functions.

PostgreSQL reads the text of each CHECK anew for every statement that writes such a row, which was up to half of the
time of a statement that writes one row. The text of a function is read once for each connection. A row that breaks a
rule is refused with the rule's name, as before.
"""

from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models

RUN = """
    CREATE FUNCTION runs_run_is_consistent(
        state text, ending text, started_at timestamptz, finished_at timestamptz, paused_at timestamptz,
        paused_through text
    ) RETURNS boolean LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
    DECLARE broken text;
    BEGIN
        -- The usual rows, which the long expression below would cost more than all else.
        IF paused_at IS NULL AND paused_through IS NULL AND ending IS NULL AND started_at IS NOT NULL AND
           (state = 'running' AND finished_at IS NULL OR state = 'succeeded' AND finished_at IS NOT NULL)
        THEN RETURN true; END IF;
        broken := CASE
        WHEN finished_at IS NULL AND state NOT IN ('running', 'waiting', 'queued', 'compensating')
            OR finished_at IS NOT NULL AND state NOT IN ('succeeded', 'failed', 'cancelled', 'compensated')
            THEN 'run_ended_iff_finished_at'
        WHEN started_at IS NULL AND state NOT IN ('queued', 'cancelled') THEN 'run_started_unless_queued'
        WHEN (paused_at IS NULL) <> (paused_through IS NULL) OR paused_through NOT IN ('run', 'workflow')
            THEN 'run_paused_through_something'
        WHEN ending IS NULL AND state = 'compensating'
            OR state = 'compensating' AND ending <> 'failed'
            OR state <> 'compensating' AND ending IS NOT NULL
               AND (state NOT IN ('running', 'waiting') OR ending NOT IN ('succeeded', 'failed', 'cancelled'))
            THEN 'run_ending_while_live'
        END;
        IF broken IS NOT NULL THEN
            RAISE check_violation USING CONSTRAINT = broken, TABLE = 'runs_run', MESSAGE = format(
                'a run in state %s breaks the rule %s, see runs/migrations/0028_rules_in_functions.py', state, broken);
        END IF;
        RETURN true;
    END $$;
"""
STEP_RUN = """
    CREATE FUNCTION runs_step_run_is_consistent(
        state text, finished_at timestamptz, process uuid, deadline timestamptz, wake_at timestamptz, signal text,
        awaits integer, open_items integer
    ) RETURNS boolean LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
    DECLARE broken text;
    BEGIN
        IF state = 'running' AND process IS NOT NULL AND deadline IS NOT NULL AND finished_at IS NULL
           AND awaits IS NULL AND open_items IS NULL
        THEN RETURN true; END IF;
        broken := CASE
        WHEN finished_at IS NULL AND state NOT IN ('running', 'retrying', 'waiting')
            OR finished_at IS NOT NULL
               AND state NOT IN ('succeeded', 'failed', 'skipped', 'cancelled', 'compensated')
            THEN 'step_run_ended_iff_finished_at'
        WHEN (state = 'running') <> (process IS NOT NULL) OR (state = 'running') <> (deadline IS NOT NULL)
            THEN 'step_run_running_iff_leased'
        WHEN state = 'waiting' AND wake_at IS NULL AND signal IS NULL AND awaits IS NULL AND open_items IS NULL
            THEN 'step_run_waiting_has_end'
        WHEN awaits < 0 THEN 'step_run_awaits_none_below_zero'
        WHEN open_items < 0 THEN 'step_run_open_items_none_below_zero'
        END;
        IF broken IS NOT NULL THEN
            RAISE check_violation USING CONSTRAINT = broken, TABLE = 'runs_steprun', MESSAGE = format(
                'a step run in state %s breaks the rule %s, see runs/migrations/0028_rules_in_functions.py',
                state, broken);
        END IF;
        RETURN true;
    END $$;
"""


class Migration(migrations.Migration):
    """Each table is locked for a moment; the rows that are there are checked by the next migration.

    A run that has `paused_at` but no `paused_through` was accepted by mistake and is not any more. Nothing but an
    UPDATE by hand can have made one.
    """

    dependencies = [
        ('runs', '0027_suspects'),
    ]

    operations = [
        migrations.RunSQL(RUN, 'DROP FUNCTION runs_run_is_consistent'),
        migrations.RunSQL(STEP_RUN, 'DROP FUNCTION runs_step_run_is_consistent'),
        AddConstraintNotValid(
            model_name='run',
            constraint=models.CheckConstraint(condition=models.Func(models.F('state'), models.F('ending'), models.F('started_at'), models.F('finished_at'), models.F('paused_at'), models.F('paused_through'), function='runs_run_is_consistent', output_field=models.BooleanField()), name='run_is_consistent'),
        ),
        AddConstraintNotValid(
            model_name='steprun',
            constraint=models.CheckConstraint(condition=models.Q(('deadline__isnull', True), ('finished_at__isnull', False), ('process__isnull', True), ('state', 'succeeded')) | models.Q(models.Func(models.F('state'), models.F('finished_at'), models.F('process'), models.F('deadline'), models.F('wake_at'), models.F('signal'), models.F('awaits'), models.F('open_items'), function='runs_step_run_is_consistent', output_field=models.BooleanField())), name='step_run_is_consistent'),
        ),
        migrations.RemoveConstraint(model_name='run', name='run_state_known'),
        migrations.RemoveConstraint(model_name='run', name='run_ended_iff_finished_at'),
        migrations.RemoveConstraint(model_name='run', name='run_started_unless_queued'),
        migrations.RemoveConstraint(model_name='run', name='run_paused_through_something'),
        migrations.RemoveConstraint(model_name='run', name='run_ending_while_live'),
        migrations.RemoveConstraint(model_name='steprun', name='step_run_state_known'),
        migrations.RemoveConstraint(model_name='steprun', name='step_run_running_iff_leased'),
        migrations.RemoveConstraint(model_name='steprun', name='step_run_ended_iff_finished_at'),
        migrations.RemoveConstraint(model_name='steprun', name='step_run_waiting_has_end'),
    ]
