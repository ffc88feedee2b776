import django.contrib.postgres.indexes
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('runs', '0020_letters_of_workflow'),
    ]

    operations = [
        # A count of open letters looks into each page that no vacuum has seen yet.
        migrations.RunSQL(
            'ALTER TABLE runs_deadletter SET (autovacuum_vacuum_insert_scale_factor = 0.02,'
            ' autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05)',
            'ALTER TABLE runs_deadletter RESET (autovacuum_vacuum_insert_scale_factor, autovacuum_vacuum_scale_factor,'
            ' autovacuum_analyze_scale_factor)',
        ),
        AddIndexConcurrently(
            model_name='deadletter',
            index=models.Index(fields=['workflow', 'id'], name='dead_letter_of_workflow'),
        ),
        AddIndexConcurrently(
            model_name='deadletter',
            index=models.Index(condition=models.Q(('state', 'open')), fields=['workspace', 'workflow', 'reason'], name='dead_letter_open'),
        ),
        AddIndexConcurrently(
            model_name='deadletter',
            index=django.contrib.postgres.indexes.GinIndex(fields=['workspace', 'labels'], name='dead_letter_labelled'),
        ),
        # The filling left each letter twice, and nobody has counted the new columns yet.
        migrations.RunSQL('VACUUM (ANALYZE) runs_deadletter', migrations.RunSQL.noop),
    ]
