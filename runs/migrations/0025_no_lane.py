from django.db import migrations

OLD = ('run_queued', 'run_backlog', 'run_gated', 'run_back_to_gate')


class Migration(migrations.Migration):
    """Nobody asks for the column any more; processes of the version before do, and are to be stopped before this."""

    dependencies = [
        ('runs', '0024_indexes_of_lanes'),
    ]

    operations = [
        *[migrations.RemoveIndex(model_name='run', name=f'{name}_by_lane') for name in OLD],
        migrations.RemoveField(model_name='run', name='lane'),
    ]
