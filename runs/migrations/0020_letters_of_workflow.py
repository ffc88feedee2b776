import django.db.models.deletion
from django.db import migrations, models

FILL = """
    UPDATE runs_deadletter l SET workflow_id = r.workflow_id, labels = r.labels FROM runs_run r WHERE r.id = l.run_id
"""
# A worker of the version before writes letters without them until it is replaced.
BY_OLDER_WORKERS = """
    CREATE FUNCTION runs_letter_of_run() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        SELECT workflow_id, labels INTO NEW.workflow_id, NEW.labels FROM runs_run WHERE id = NEW.run_id;
        RETURN NEW;
    END $$;
    CREATE TRIGGER letter_of_run BEFORE INSERT ON runs_deadletter
        FOR EACH ROW WHEN (NEW.workflow_id IS NULL) EXECUTE FUNCTION runs_letter_of_run();
"""
NO_MORE = "DROP TRIGGER letter_of_run ON runs_deadletter; DROP FUNCTION runs_letter_of_run();"


class Migration(migrations.Migration):
    """Dead letters have their run's workflow and labels.

    In one transaction, so that no letter is written between the filling and the promise that none is without. Whoever
    wants to read or write letters waits for that long: one look at the run of each.
    """

    dependencies = [
        ('workflows', '0007_keep_days'),
        ('runs', '0019_run_backlog'),
    ]

    operations = [
        migrations.AddField(
            model_name='deadletter',
            name='workflow',
            field=models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='workflows.workflow'),
        ),
        migrations.AddField(
            model_name='deadletter',
            name='labels',
            field=models.JSONField(default=dict),
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.RunSQL(BY_OLDER_WORKERS, NO_MORE),
        migrations.AlterField(
            model_name='deadletter',
            name='workflow',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='workflows.workflow'),
        ),
    ]
