from django.db import migrations, models


class Migration(migrations.Migration):
    """The name of an archived workflow is free. The table has a row for each workflow, so the index is built at once."""

    dependencies = [
        ('workflows', '0010_archived_at'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='workflow',
            name='workflow_name_once',
        ),
        migrations.AddConstraint(
            model_name='workflow',
            constraint=models.UniqueConstraint(condition=models.Q(('archived_at__isnull', True)), fields=('workspace', 'name'), name='workflow_name_once'),
        ),
    ]
