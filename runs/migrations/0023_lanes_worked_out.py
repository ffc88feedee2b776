from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models

WAITS = [('finished_at__isnull', True), ('paused_at__isnull', True), ('started_at__isnull', True)]


class Migration(migrations.Migration):
    """The lane of a queued run is worked out where it is asked, and no column any more.

    Each new index stands before the old one goes. Processes of the version before ask for the column: they are to be
    stopped before the last operation, as at any bootstrap.
    """

    atomic = False

    dependencies = [
        ('runs', '0022_unhappy_in_order'),
    ]

    operations = [
        migrations.RenameIndex(model_name='run', old_name='run_queued', new_name='run_queued_by_lane'),
        migrations.RenameIndex(model_name='run', old_name='run_backlog', new_name='run_backlog_by_lane'),
        migrations.RenameIndex(model_name='run', old_name='run_gated', new_name='run_gated_by_lane'),
        migrations.RenameIndex(model_name='run', old_name='run_back_to_gate', new_name='run_back_to_gate_by_lane'),
        AddIndexConcurrently(
            model_name='run',
            index=models.Index(models.F('workspace'), models.Case(models.When(paused_at__isnull=False, then=models.Value(2)), models.When(gate__isnull=False, then=models.Value(1)), default=models.Value(0)), models.OrderBy(models.F('priority'), descending=True), models.F('id'), condition=models.Q(('state', 'queued')), name='run_queued'),
        ),
        AddIndexConcurrently(
            model_name='run',
            index=models.Index(condition=models.Q(*WAITS, ('gate__isnull', True)), fields=['workspace'], name='run_backlog'),
        ),
        AddIndexConcurrently(
            model_name='run',
            index=models.Index(condition=models.Q(*WAITS, ('gate__isnull', False)), fields=['workspace'], name='run_backlog_gated'),
        ),
        AddIndexConcurrently(
            model_name='run',
            index=models.Index(models.F('gate'), models.OrderBy(models.F('priority'), descending=True), models.F('id'), condition=models.Q(('state', 'queued'), ('gate__isnull', False), ('paused_at__isnull', True)), name='run_gated'),
        ),
        AddIndexConcurrently(
            model_name='run',
            index=models.Index(condition=models.Q(('gate__isnull', False), models.Q(('state', 'failed'), models.Q(('state', 'queued'), ('paused_at__isnull', False)), _connector='OR')), fields=['gate'], name='run_back_to_gate'),
        ),
        RemoveIndexConcurrently(model_name='run', name='run_queued_by_lane'),
        RemoveIndexConcurrently(model_name='run', name='run_backlog_by_lane'),
        RemoveIndexConcurrently(model_name='run', name='run_gated_by_lane'),
        RemoveIndexConcurrently(model_name='run', name='run_back_to_gate_by_lane'),
        migrations.RemoveField(model_name='run', name='lane'),
    ]
