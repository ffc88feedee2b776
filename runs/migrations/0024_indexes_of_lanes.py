from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

WAITS = [('finished_at__isnull', True), ('paused_at__isnull', True), ('started_at__isnull', True)]


class AddIndex(AddIndexConcurrently):
    """Also where this migration was cut off before: what is there of the index is dropped first."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        schema_editor.execute(f'DROP INDEX CONCURRENTLY IF EXISTS {schema_editor.quote_name(self.index.name)}')
        super().database_forwards(app_label, schema_editor, from_state, to_state)


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('runs', '0023_lanes_worked_out'),
    ]

    operations = [
        AddIndex(
            model_name='run',
            index=models.Index(models.F('workspace'), models.Case(models.When(paused_at__isnull=False, then=models.Value(2)), models.When(gate__isnull=False, then=models.Value(1)), default=models.Value(0)), models.OrderBy(models.F('priority'), descending=True), models.F('id'), condition=models.Q(('state', 'queued')), name='run_queued'),
        ),
        AddIndex(
            model_name='run',
            index=models.Index(condition=models.Q(*WAITS, ('gate__isnull', True)), fields=['workspace'], name='run_backlog'),
        ),
        AddIndex(
            model_name='run',
            index=models.Index(condition=models.Q(*WAITS, ('gate__isnull', False)), fields=['workspace'], name='run_backlog_gated'),
        ),
        AddIndex(
            model_name='run',
            index=models.Index(models.F('gate'), models.OrderBy(models.F('priority'), descending=True), models.F('id'), condition=models.Q(*WAITS, ('gate__isnull', False)), name='run_gated'),
        ),
        AddIndex(
            model_name='run',
            index=models.Index(condition=models.Q(('gate__isnull', False), models.Q(('state', 'failed'), models.Q(('state', 'queued'), ('paused_at__isnull', False)), _connector='OR')), fields=['gate'], name='run_back_to_gate'),
        ),
    ]
