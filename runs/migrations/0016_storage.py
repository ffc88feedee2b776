"""What may wait in its page, and how soon dead rows are cleared away: see docs/decisions/0009."""


from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('runs', '0015_indexes_of_lists'),
    ]

    operations = [
        # Every update of a ticket moves knock_at, which is indexed: room in the page was of no use.
        migrations.RunSQL(
            "ALTER TABLE runs_ticket SET (fillfactor = 100, autovacuum_vacuum_scale_factor = 0.02,"
            " autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0)",
            "ALTER TABLE runs_ticket SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);"
            " ALTER TABLE runs_ticket RESET (autovacuum_vacuum_threshold, autovacuum_vacuum_cost_delay)",
        ),
        # Two versions of each run die on its way; of ten million rows a fifth would be too many to wait for.
        migrations.RunSQL(
            "ALTER TABLE runs_run SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);"
            " ALTER TABLE runs_steprun SET (autovacuum_vacuum_scale_factor = 0.05,"
            " autovacuum_analyze_scale_factor = 0.05)",
            "ALTER TABLE runs_run RESET (autovacuum_vacuum_scale_factor, autovacuum_analyze_scale_factor);"
            " ALTER TABLE runs_steprun RESET (autovacuum_vacuum_scale_factor, autovacuum_analyze_scale_factor)",
        ),
        # A few rows, each updated every few seconds.
        migrations.RunSQL(
            "ALTER TABLE runs_process SET (fillfactor = 50)", "ALTER TABLE runs_process RESET (fillfactor)"
        ),
        migrations.RemoveIndex(
            model_name='process',
            name='process_expires_at',
        ),
        migrations.RemoveIndex(
            model_name='steprun',
            name='step_run_deadline',
        ),
    ]
