from django.db import migrations

OLD = ('run_queued', 'run_backlog', 'run_gated', 'run_back_to_gate')


class Migration(migrations.Migration):
    """The lane of a queued run is worked out where it is asked: first its indexes make room for others of their names."""

    dependencies = [
        ('runs', '0022_unhappy_in_order'),
    ]

    operations = [
        migrations.RenameIndex(model_name='run', old_name=name, new_name=f'{name}_by_lane') for name in OLD
    ]
