import django.db.models.deletion
from django.db import migrations, models

# A deletion locks the version first, which waits for whoever inserts runs of it and makes them wait (runs.queries.START);
# what is asked then sees their runs.
KEEP = """
    CREATE FUNCTION runs_version_in_use() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (SELECT 1 FROM runs_run WHERE workflow_id = OLD.workflow_id AND version_id = OLD.id) THEN
            RAISE foreign_key_violation USING
                MESSAGE = format('version %s of workflow %s has runs', OLD.number, OLD.workflow_id),
                HINT = 'delete its runs first, as retention does, or keep it: a version that is not current costs nothing';
        END IF;
        RETURN OLD;
    END $$;
    CREATE TRIGGER version_in_use BEFORE DELETE ON workflows_version FOR EACH ROW EXECUTE FUNCTION runs_version_in_use();
"""
LET_GO = "DROP TRIGGER version_in_use ON workflows_version; DROP FUNCTION runs_version_in_use();"


class Migration(migrations.Migration):
    """A version that has runs cannot be deleted, and no run looks it up to say so."""

    dependencies = [
        ('workflows', '0007_keep_days'),
        ('runs', '0025_no_lane'),
    ]

    operations = [
        migrations.RunSQL(KEEP, LET_GO),
        migrations.AlterField(
            model_name='run',
            name='version',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='runs', to='workflows.version'),
        ),
    ]
