"""What 0008 left: the check holds for old rows too, and waiting steps are found by their signal. Locks no table."""

from django.contrib.postgres.operations import AddIndexConcurrently, ValidateConstraint
from django.db import migrations, models


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('runs', '0008_signals'),
    ]

    operations = [
        ValidateConstraint(model_name='steprun', name='step_run_waiting_has_end'),
        AddIndexConcurrently(
            model_name='steprun',
            index=models.Index(condition=models.Q(('signal__isnull', False), ('state', 'waiting')), fields=['signal', 'signal_key', 'id'], name='step_run_signal'),
        ),
    ]
