from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations


class Migration(migrations.Migration):
    """Check the rows that are there. This reads both tables, while everything else goes on."""

    dependencies = [
        ('runs', '0028_rules_in_functions'),
    ]

    operations = [
        ValidateConstraint(model_name='run', name='run_is_consistent'),
        ValidateConstraint(model_name='steprun', name='step_run_is_consistent'),
    ]
